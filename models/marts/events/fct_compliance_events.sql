{# A view of what int_checked_events holds, and in a release that table itself: see `kept_of`. #}
{{ config(materialized='view') }}

-- With too many rejected rows no fact is built: the quarantine and its check come first.
-- depends_on: {{ ref('quarantine_by_rejection_reason') }}
with accepted_events as (
    select
        event_id,
        user_id,
        region,
        regulation,
        event_type,
        status,
        data_shared,
        user_age,
        concurrent_streams,
        session_duration_minutes,
        is_violation,
        event_hour,
        event_date,
        weekday,
        age_band,
        occurred_at
    from {{ ref('int_accepted_events') }}
)

select * from accepted_events
