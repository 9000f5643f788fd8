with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

conflicting_event_ids as (
    select * from {{ ref('int_conflicting_event_ids') }}
),

-- A conflict shows only when all days are seen; the event id comes first among the reasons.
judged as (
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
        checked_events.occurred_at,
        case
            when conflicting_event_ids.event_id is null then checked_events.rejection_reasons
            else concat_ws(',', 'event_id_conflicting', checked_events.rejection_reasons)
        end as rejection_reasons,
        checked_events.copies,
        checked_events.raw_event_id,
        checked_events.raw_user_id,
        checked_events.raw_region,
        checked_events.raw_regulation,
        checked_events.raw_event_type,
        checked_events.raw_status,
        checked_events.raw_data_shared,
        checked_events.raw_user_age,
        checked_events.raw_concurrent_streams,
        checked_events.raw_session_duration_minutes,
        checked_events.raw_timestamp,
        checked_events.source_date
    from checked_events
    left join conflicting_event_ids on checked_events.event_id = conflicting_event_ids.event_id
)

select * from judged
