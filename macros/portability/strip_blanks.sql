{% macro strip_blanks(text) %}
    {{- return(adapter.dispatch('strip_blanks')(text)) -}}
{% endmacro %}

{#- Plain `trim` takes away spaces only; how to name tabs and line ends as well differs. -#}
{% macro default__strip_blanks(text) -%}
    trim(both ' ' || chr(9) || chr(10) || chr(13) from {{ text }})
{%- endmacro %}

{% macro duckdb__strip_blanks(text) -%}
    trim({{ text }}, ' ' || chr(9) || chr(10) || chr(13))
{%- endmacro %}
