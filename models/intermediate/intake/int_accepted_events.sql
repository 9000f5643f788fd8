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
        status = 'violation' as is_violation,
        cast(extract(hour from occurred_at) as integer) as event_hour,
        source_date as event_date,
        {{ weekday('source_date') }} as weekday,
        case
            {%- for band in age_bands() %}
                when {{ 'user_age < ' ~ band.below if band.below else 'user_age is not null' }}
                    then '{{ band.age_band }}'
            {%- endfor %}
        end as age_band,
        occurred_at
    from checked_events
    where rejection_reasons is null
)

select * from accepted
