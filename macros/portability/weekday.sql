{% macro weekday(date) %}
    {{- return(adapter.dispatch('weekday')(date)) -}}
{% endmacro %}

{% macro default__weekday(date) -%}
    dayname({{ date }})
{%- endmacro %}

{#- Spark's `dayname` cuts the names to three letters. -#}
{% macro spark__weekday(date) -%}
    date_format({{ date }}, 'EEEE')
{%- endmacro %}
