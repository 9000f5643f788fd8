{% set source_events = raw_events() %}
{% if source_events is not string %}{{ require_columns(source_events, source_columns()) }}{% endif %}

select
    {%- for column in raw_event_columns() %}
    {{ source_column(column) }} as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
from {{ source_events }}
