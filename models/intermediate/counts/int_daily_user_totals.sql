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
        min(case when user_age is not null then event_id end) as first_event_id,
        min_by(user_age, case when user_age is not null then event_id end) as user_age,
        count(*) as events,
        count(*) filter (where is_violation) as violation_events,
        count(*) filter (where status = 'warning') as warning_events,
        {{ exact_sum('session_duration_minutes') }} as session_duration_minutes,
        count(session_duration_minutes) as events_with_duration,
        -- A double, as no integer holds the sum of the largest ones.
        sum(cast(concurrent_streams as double)) as concurrent_streams,
        count(concurrent_streams) as events_with_streams,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at,
        event_date
    from events
    where user_id is not null
    group by user_id, event_date
),

fingerprinted as (
    select
        totals.user_id,
        totals.first_event_id,
        totals.user_age,
        totals.events,
        totals.violation_events,
        totals.warning_events,
        totals.session_duration_minutes,
        totals.events_with_duration,
        totals.concurrent_streams,
        totals.events_with_streams,
        totals.first_event_at,
        totals.last_event_at,
        {{ built_fingerprint('days.fingerprint', 'days.rules') }} as fingerprint,
        totals.event_date
    from totals
    inner join days on totals.event_date = days.event_date
)

select * from fingerprinted
