with events as (
    select * from {{ ref('fct_compliance_events') }}
),

violation_tests as (
    select * from {{ ref('int_user_violation_tests') }}
),

totals as (
    select
        user_id,
        min(event_id) as first_event_id,
        count(*) as events,
        count(*) filter (where is_violation) as violation_events,
        count(*) filter (where status = 'warning') as warning_events,
        avg(session_duration_minutes) as average_session_duration_minutes,
        avg(cast(concurrent_streams as double)) as average_concurrent_streams,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at
    from events
    group by user_id
),

rated as (
    select
        *,
        {{ ratio('violation_events', 'events') }} as violation_rate
    from totals
),

tested as (
    select
        rated.*,
        violation_tests.p_value,
        violation_tests.smallest_possible_p_value,
        {{ benjamini_hochberg_step('violation_tests.p_value', ties='rated.user_id') }} as bh_step
    from rated
    inner join violation_tests
        on
            rated.events = violation_tests.events
            and rated.violation_events = violation_tests.violation_events
),

adjusted as (
    select
        *,
        {{ benjamini_hochberg_adjusted('bh_step', 'p_value', ties='user_id') }} as p_adjusted
    from tested
),

{{ shrinkage_ctes('rated') }},

users as (
    select
        adjusted.user_id,
        first_events.user_age,
        adjusted.events,
        adjusted.violation_events,
        adjusted.warning_events,
        adjusted.violation_rate,
        adjusted.average_session_duration_minutes,
        adjusted.average_concurrent_streams,
        adjusted.first_event_at,
        adjusted.last_event_at,
        {{ risk_tier('adjusted.violation_rate') }} as risk_tier,
        adjusted.p_value,
        adjusted.p_adjusted,
        {{ shrunk_rate('adjusted.violation_rate', 'adjusted.events') }} as shrunk_violation_rate,
        {{ risk_evidence(
            'adjusted.smallest_possible_p_value', 'adjusted.p_value', 'adjusted.p_adjusted'
        ) }} as risk_evidence
    from adjusted
    inner join events as first_events on adjusted.first_event_id = first_events.event_id
    cross join shrinkage
)

select * from users
