{% macro day_in_words(day) %}
    {{- return(adapter.dispatch('day_in_words')(day)) -}}
{% endmacro %}

{#- Engines have no function in common that names months. -#}
{% macro default__day_in_words(day) -%}
    date_format({{ day }}, 'd{{ nbsp() }}MMMM yyyy')
{%- endmacro %}

{% macro duckdb__day_in_words(day) -%}
    strftime({{ day }}, '%-d{{ nbsp() }}%B %Y')
{%- endmacro %}
