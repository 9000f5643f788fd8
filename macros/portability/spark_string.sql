{#- A text as a literal of Spark SQL, where backslashes count. -#}
{% macro spark_string(text) -%}
    '{{ text | replace('\\', '\\\\') | replace("'", "\\'") }}'
{%- endmacro %}
