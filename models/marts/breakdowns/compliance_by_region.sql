with regions as (
    select * from {{ ref('regions') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'region'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'region'
),

measures as (
    select
        regions.region,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        regions.display_order
    from regions
    left join counts on regions.region = counts.member
    left join tests on regions.region = tests.member
)

select * from measures
