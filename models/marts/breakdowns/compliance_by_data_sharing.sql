with data_sharing_levels as (
    select * from {{ ref('data_sharing_levels') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'data_shared'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'data_shared'
),

measures as (
    select
        data_sharing_levels.data_shared,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        data_sharing_levels.display_order
    from data_sharing_levels
    left join counts on data_sharing_levels.data_shared = counts.member
    left join tests on data_sharing_levels.data_shared = tests.member
)

select * from measures
