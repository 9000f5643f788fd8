{% macro raw_event_columns() %}
    {{- return([
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
    ]) -}}
{% endmacro %}
