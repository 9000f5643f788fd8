{% macro hash_of_text(text) %}
    {{- return(adapter.dispatch('hash_of_text')(text)) -}}
{% endmacro %}

{#- 64 bits as an integer, which stored in every row costs less than text does. -#}
{% macro default__hash_of_text(text) -%}
    xxhash64({{ text }})
{%- endmacro %}

{% macro duckdb__hash_of_text(text) -%}
    hash({{ text }})
{%- endmacro %}
