with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

conflicting_event_ids as (
    select * from {{ ref('int_conflicting_event_ids') }}
),

accepted as (
    select
        checked_events.event_id,
        checked_events.user_id,
        checked_events.region,
        checked_events.regulation,
        checked_events.event_type,
        checked_events.status,
        checked_events.data_shared,
        checked_events.user_age,
        checked_events.concurrent_streams,
        checked_events.session_duration_minutes,
        checked_events.status = 'violation' as is_violation,
        cast(extract(hour from checked_events.occurred_at) as integer) as event_hour,
        checked_events.source_date as event_date,
        checked_events.occurred_at
    from checked_events
    left join conflicting_event_ids on checked_events.event_id = conflicting_event_ids.event_id
    where
        checked_events.rejection_reasons is null
        and conflicting_event_ids.event_id is null
)

select * from accepted
