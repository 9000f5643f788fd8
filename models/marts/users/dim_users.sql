with events as (
    select * from {{ ref('fct_compliance_events') }}
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

users as (
    select
        rated.user_id,
        first_events.user_age,
        rated.events,
        rated.violation_events,
        rated.warning_events,
        rated.violation_rate,
        rated.average_session_duration_minutes,
        rated.average_concurrent_streams,
        rated.first_event_at,
        rated.last_event_at,
        {{ risk_tier('rated.violation_rate') }} as risk_tier
    from rated
    inner join events as first_events on rated.first_event_id = first_events.event_id
)

select * from users
