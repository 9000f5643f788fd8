{#- The statuses of an event whose rates are compared, the first one before others. -#}
{% macro outcomes() %}
    {{- return(['violation', 'warning']) -}}
{% endmacro %}
