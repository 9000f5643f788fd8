{#- The columns of an accepted event whose values are counted and correlated with each other. -#}
{% macro event_metrics() %}
    {{- return([
        'is_violation', 'session_duration_minutes', 'concurrent_streams', 'user_age', 'event_hour'
    ]) -}}
{% endmacro %}

{#- Those of them that the platform itself sends, and that an event can be without. -#}
{% macro sent_metrics() %}
    {%- set sent = event_columns() | map(attribute='value') | list -%}
    {{- return(event_metrics() | select('in', sent) | list) -}}
{% endmacro %}
