with event_types as (
    select * from {{ ref('event_types') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'event_type'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'event_type'
),

measures as (
    select
        event_types.event_type,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        event_types.display_order
    from event_types
    left join counts on event_types.event_type = counts.member
    left join tests on event_types.event_type = tests.member
)

select * from measures
