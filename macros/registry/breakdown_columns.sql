{#- The columns that all breakdowns share, of a relation. -#}
{% macro breakdown_columns(relation) %}
    {%- set names = [] -%}
    {%- for column in [
        'events', 'compliant_events', 'warning_events', 'violation_events', 'users', 'event_share',
        'compliant_rate', 'warning_rate', 'violation_rate', 'violation_rate_low',
        'violation_rate_high', 'rate_difference', 'detectable_difference', 'p_value', 'p_adjusted',
        'verdict',
    ] -%}
        {%- do names.append(relation ~ '.' ~ column) -%}
    {%- endfor -%}
    {{- return(names | join(',\n        ')) -}}
{% endmacro %}
