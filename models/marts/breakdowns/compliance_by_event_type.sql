with event_types as (
    select * from {{ ref('event_types') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'event_type'
),

counts as (
    select
        event_type,
        {{ count_compliance_events() }}
    from events
    group by event_type
),

measures as (
    select
        event_types.event_type,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }},
        event_types.display_order
    from event_types
    left join counts on event_types.event_type = counts.event_type
    left join tests on event_types.event_type = tests.member
)

select * from measures
