with regulations as (
    select * from {{ ref('regulations') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'regulation'
),

counts as (
    select
        regulation,
        {{ count_compliance_events() }}
    from events
    group by regulation
),

measures as (
    select
        regulations.regulation,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        regulations.display_order
    from regulations
    left join counts on regulations.regulation = counts.regulation
    left join tests on regulations.regulation = tests.member
)

select * from measures
