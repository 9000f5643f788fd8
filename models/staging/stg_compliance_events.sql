{% set types = column_types(ref('base_compliance_events')) %}

with raw_events as (
    select * from {{ ref('base_compliance_events') }}
),

typed as (
    select
        {%- if keeps_one_of_repeats() %}
            raw_events.repeat_order,
        {%- endif %}
        {%- for column in event_columns() %}
            {{ read_column(column, 'raw_events', types) }} as {{ column.value }},
            raw_events.{{ column.name }} as raw_{{ column.name }},
        {%- endfor %}
        raw_events.source_file
    from raw_events
),

-- Builds go day by day; rows whose moment cannot be read share one day, too.
dated as (
    select
        *,
        coalesce(cast(occurred_at as date), cast('1900-01-01' as date)) as source_date
    from typed
)

select * from dated
