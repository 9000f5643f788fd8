with data_sharing_levels as (
    select * from {{ ref('data_sharing_levels') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'data_shared'
),

counts as (
    select
        data_shared,
        {{ count_compliance_events() }}
    from events
    group by data_shared
),

measures as (
    select
        data_sharing_levels.data_shared,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        data_sharing_levels.display_order
    from data_sharing_levels
    left join counts on data_sharing_levels.data_shared = counts.data_shared
    left join tests on data_sharing_levels.data_shared = tests.member
)

select * from measures
