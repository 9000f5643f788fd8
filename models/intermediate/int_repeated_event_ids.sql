with events as (
    select * from {{ ref('stg_compliance_events') }}
),

repeated as (
    select event_id
    from events
    group by event_id
    having count(*) > 1
),

versions as (
    select
        events.event_id,
        count(*) as copies
    from events
    inner join repeated on events.event_id = repeated.event_id
    group by
        events.event_id,
        events.raw_event_id,
        events.raw_timestamp,
        events.raw_user_id,
        events.raw_region,
        events.raw_regulation,
        events.raw_event_type,
        events.raw_status,
        events.raw_user_age,
        events.raw_session_duration_minutes,
        events.raw_concurrent_streams,
        events.raw_data_shared
),

compared as (
    select
        event_id,
        cast(sum(copies) as bigint) as copies,
        count(*) > 1 as is_conflicting
    from versions
    group by event_id
)

select * from compared
