with regions as (
    select * from {{ ref('regions') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

counts as (
    select
        region,
        {{ count_compliance_events() }}
    from events
    group by region
),

measures as (
    select
        regions.region,
        {{ compliance_measures('counts') }},
        regions.display_order
    from regions
    left join counts on regions.region = counts.region
)

select * from measures
