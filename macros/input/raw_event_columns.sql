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
