{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_accepted_days')) }}",
    partition_by=['event_date'] if target.type == 'spark' else none
) }}

with days as (
    {{ missing_days(ref('int_accepted_days')) }}
),

events as (
    {{ events_of_days() }}
),

totals as (
    select
        user_id,
        min(event_id) as first_event_id,
        count(*) as events,
        count(*) filter (where is_violation) as violation_events,
        count(*) filter (where status = 'warning') as warning_events,
        sum(session_duration_minutes) as session_duration_minutes,
        sum(concurrent_streams) as concurrent_streams,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at,
        fingerprint,
        event_date
    from events
    group by user_id, fingerprint, event_date
),

with_age as (
    select
        totals.user_id,
        totals.first_event_id,
        first_events.user_age,
        totals.events,
        totals.violation_events,
        totals.warning_events,
        totals.session_duration_minutes,
        cast(totals.concurrent_streams as bigint) as concurrent_streams,
        totals.first_event_at,
        totals.last_event_at,
        totals.fingerprint,
        totals.event_date
    from totals
    inner join {{ ref('int_accepted_events') }} as first_events
        on
            totals.event_date = first_events.event_date
            and totals.first_event_id = first_events.event_id
)

select * from with_age
