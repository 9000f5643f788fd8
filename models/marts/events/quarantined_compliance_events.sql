{# Clients read a release, which is a copy. #}
{{ config(materialized='view') }}

with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

rejected as (
    select
        raw_event_id as event_id,
        raw_timestamp as timestamp,
        raw_user_id as user_id,
        raw_region as region,
        raw_regulation as regulation,
        raw_event_type as event_type,
        raw_status as status,
        raw_user_age as user_age,
        raw_session_duration_minutes as session_duration_minutes,
        raw_concurrent_streams as concurrent_streams,
        raw_data_shared as data_shared,
        rejection_reasons
    from checked_events
    where rejection_reasons is not null
)

select * from rejected
