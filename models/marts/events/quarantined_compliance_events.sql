{# Clients read a release, which is a copy. #}
{{ config(materialized='view') }}

with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

rejected as (
    select
        coalesce(raw_event_id, {{ as_text('event_id') }}) as event_id,
        coalesce(raw_timestamp, {{ as_text('occurred_at') }}) as timestamp,
        coalesce(raw_user_id, {{ as_text('user_id') }}) as user_id,
        coalesce(raw_region, {{ as_text('region') }}) as region,
        coalesce(raw_regulation, {{ as_text('regulation') }}) as regulation,
        coalesce(raw_event_type, {{ as_text('event_type') }}) as event_type,
        coalesce(raw_status, {{ as_text('status') }}) as status,
        coalesce(raw_user_age, {{ as_text('user_age') }}) as user_age,
        coalesce(raw_session_duration_minutes, {{ as_text('session_duration_minutes') }})
            as session_duration_minutes,
        coalesce(raw_concurrent_streams, {{ as_text('concurrent_streams') }}) as concurrent_streams,
        coalesce(raw_data_shared, {{ as_text('data_shared') }}) as data_shared,
        rejection_reasons
    from checked_events
    where rejection_reasons is not null
)

select * from rejected
