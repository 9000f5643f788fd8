with regions as (
    select * from {{ ref('regions') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'region'
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
        {{ violation_test_columns('tests') }},
        regions.display_order
    from regions
    left join counts on regions.region = counts.region
    left join tests on regions.region = tests.member
)

select * from measures
