{#- The columns of an accepted event whose values are counted and correlated with each other. -#}
{% macro event_metrics() %}
    {{- return([
        'is_violation', 'session_duration_minutes', 'concurrent_streams', 'user_age', 'event_hour'
    ]) -}}
{% endmacro %}
