select
    event_id,
    user_id,
    user_age,
    concurrent_streams,
    session_duration_minutes,
    status,
    is_violation,
    event_hour,
    event_date,
    occurred_at
from {{ ref('fct_compliance_events') }}
where
    user_id is null
    or user_age is null
    or user_age < {{ var('minimum_user_age') }}
    or user_age > {{ var('maximum_user_age') }}
    or concurrent_streams is null
    or concurrent_streams < 1
    or concurrent_streams > {{ var('maximum_concurrent_streams') }}
    or session_duration_minutes is null
    or session_duration_minutes < 0
    or session_duration_minutes > {{ var('maximum_session_duration_minutes') }}
    or occurred_at is null
    or occurred_at < {{ earliest_timestamp() }}
    or occurred_at > {{ latest_timestamp() }}
    or region is null
    or regulation is null
    or event_type is null
    or status is null
    or data_shared is null
    or is_violation is null
    or is_violation <> (status = 'violation')
    or event_hour is null
    or event_hour <> extract(hour from occurred_at)
    or event_date is null
    or event_date <> cast(occurred_at as date)
