with regions as (
    select * from {{ ref('regions') }}
),

regulations as (
    select * from {{ ref('regulations') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'region_and_regulation'
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
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }}
    from regions
    cross join regulations
    left join counts
        on
            regions.region = counts.region
            and regulations.regulation = counts.regulation
    left join tests
        on tests.member = {{ region_and_regulation('regions.region', 'regulations.regulation') }}
)

select * from measures
