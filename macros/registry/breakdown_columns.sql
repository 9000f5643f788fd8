{#- The columns that all breakdowns share, of a relation. -#}
{% macro breakdown_columns(relation) %}
    {%- set names = [] -%}
    {%- for column in [
        'events', 'compliant_events', 'warning_events', 'violation_events', 'users', 'event_share',
        'compliant_rate', 'warning_rate', 'violation_rate', 'effective_events',
        'violation_rate_low', 'violation_rate_high', 'warning_rate_low', 'warning_rate_high',
        'rate_difference', 'detectable_difference', 'p_value', 'p_adjusted', 'p_adjusted_daily',
        'adjusted_difference', 'adjusted_p_value', 'verdict', 'differs_without_unusual_days',
        'warning_verdict',
    ] -%}
        {%- do names.append(relation ~ '.' ~ column) -%}
    {%- endfor -%}
    {{- return(names | join(',\n        ')) -}}
{% endmacro %}
