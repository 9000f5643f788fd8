{% set source_events = raw_events() %}
{{ require_columns(source_events, source_columns()) }}

with source_events as (
    select * from {{ source_events }}
),

renamed as (
    select
        {%- if keeps_one_of_repeats() %}
            {{ order_of_repeats() }} as repeat_order,
        {%- endif %}
        {%- for column in raw_event_columns() %}
            {{ source_column(column) }} as {{ column }},
        {%- endfor %}
        {{ 'ott_file' if source_is_files() else "''" }} as source_file
    from source_events
)

select * from renamed
