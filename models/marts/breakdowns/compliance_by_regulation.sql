with regulations as (
    select * from {{ ref('regulations') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'regulation'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'regulation'
),

measures as (
    select
        regulations.regulation,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        regulations.display_order
    from regulations
    left join counts on regulations.regulation = counts.member
    left join tests on regulations.regulation = tests.member
)

select * from measures
