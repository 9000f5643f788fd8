with regions as (
    select * from {{ ref('regions') }}
),

regulations as (
    select * from {{ ref('regulations') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

counts as (
    select
        region,
        regulation,
        {{ count_compliance_events() }}
    from events
    group by region, regulation
),

measures as (
    select
        regions.region,
        regulations.regulation,
        {{ compliance_measures('counts') }}
    from regions
    cross join regulations
    left join counts
        on
            regions.region = counts.region
            and regulations.regulation = counts.regulation
)

select * from measures
