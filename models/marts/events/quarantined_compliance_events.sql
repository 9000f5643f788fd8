{# Clients read a release, which is a copy. #}
{{ config(materialized='view') }}

with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

rejected as (
    select
        {{ original_text('raw_event_id', 'event_id') }} as event_id,
        {{ original_text('raw_timestamp', 'occurred_at') }} as timestamp,
        {{ original_text('raw_user_id', 'user_id') }} as user_id,
        {{ original_text('raw_region', 'region') }} as region,
        {{ original_text('raw_regulation', 'regulation') }} as regulation,
        {{ original_text('raw_event_type', 'event_type') }} as event_type,
        {{ original_text('raw_status', 'status') }} as status,
        {{ original_text('raw_user_age', 'user_age') }} as user_age,
        {{ original_text('raw_session_duration_minutes', 'session_duration_minutes') }}
            as session_duration_minutes,
        {{ original_text('raw_concurrent_streams', 'concurrent_streams') }} as concurrent_streams,
        {{ original_text('raw_data_shared', 'data_shared') }} as data_shared,
        rejection_reasons
    from checked_events
    where rejection_reasons is not null
)

select * from rejected
