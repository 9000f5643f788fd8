with checked_events as (
    select * from {{ ref('int_compliance_events_checked') }}
),

rejected as (
    select
        {%- for column in raw_event_columns() %}
        raw_{{ column }} as {{ column }},
        {%- endfor %}
        rejection_reasons
    from checked_events
    where rejection_reasons is not null
)

select * from rejected
