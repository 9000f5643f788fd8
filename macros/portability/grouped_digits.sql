{% macro grouped_digits(number) %}
    {{- return(adapter.dispatch('grouped_digits')(number)) -}}
{% endmacro %}

{#- No function that groups digits is known to all engines. -#}
{% macro default__grouped_digits(number) -%}
    format_number({{ number }}, 0)
{%- endmacro %}

{% macro duckdb__grouped_digits(number) -%}
    format('{:,}', cast({{ number }} as bigint))
{%- endmacro %}
