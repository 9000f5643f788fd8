{% macro matches_pattern(text, pattern) %}
    {{- return(adapter.dispatch('matches_pattern')(text, pattern)) -}}
{% endmacro %}

{#- There is no standard operator for regular expressions. The pattern must match the whole text. -#}
{% macro default__matches_pattern(text, pattern) -%}
    regexp_like({{ text }}, '^({{ pattern }})$')
{%- endmacro %}

{% macro duckdb__matches_pattern(text, pattern) -%}
    regexp_full_match({{ text }}, '{{ pattern }}')
{%- endmacro %}
