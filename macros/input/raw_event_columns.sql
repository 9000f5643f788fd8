{% macro raw_event_columns(prefix='') %}
    {%- set names = [] -%}
    {%- for column in [
        'event_id',
        'timestamp',
        'user_id',
        'region',
        'regulation',
        'event_type',
        'status',
        'user_age',
        'session_duration_minutes',
        'concurrent_streams',
        'data_shared',
    ] -%}
        {%- do names.append(prefix ~ column) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}

{#- Those of the staged events: what was read, the day, and what it was read from. -#}
{% macro staged_event_columns(prefix='') %}
    {%- set names = [] -%}
    {%- for column in raw_event_columns() -%}
        {%- do names.append(prefix ~ {'timestamp': 'occurred_at'}.get(column, column)) -%}
    {%- endfor -%}
    {{- return(names + [prefix ~ 'source_date'] + raw_event_columns(prefix ~ 'raw_')) -}}
{% endmacro %}
