with daily_totals as (
    select * from {{ ref('int_daily_user_totals') }}
),

violation_tests as (
    select * from {{ ref('int_user_violation_tests') }}
),

totals as (
    select
        user_id,
        min(first_event_id) as first_event_id,
        cast(sum(events) as bigint) as events,
        cast(sum(violation_events) as bigint) as violation_events,
        cast(sum(warning_events) as bigint) as warning_events,
        {{ ratio('sum(session_duration_minutes)', 'sum(events)') }}
            as average_session_duration_minutes,
        {{ ratio('sum(concurrent_streams)', 'sum(events)') }} as average_concurrent_streams,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at
    from daily_totals
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
        first_days.user_age,
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
    inner join daily_totals as first_days on adjusted.first_event_id = first_days.first_event_id
    cross join shrinkage
)

select * from users
