with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

accepted as (
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
        {%- for column in event_columns() if column.kind == 'attribute' %}
            {{ column.name }},
        {%- endfor %}
        is_violation,
        event_hour,
        event_date,
        weekday,
        age_band,
        occurred_at
    from checked_events
    where rejection_reasons is null
)

select * from accepted
