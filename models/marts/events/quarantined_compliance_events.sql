with checked_events as (
    select * from {{ ref('int_checked_events') }}
),

rejected as (
    select
        {%- for column in event_columns() if column.kind != 'attribute' %}
            coalesce(raw_{{ column.name }}, {{ as_text(column.value) }}) as {{ column.name }},
        {%- endfor %}
        rejection_reasons
    from checked_events
    where rejection_reasons is not null
)

select * from rejected
