{#- Null where the denominator is zero; engines differ in what 7/2 and 1/0 are. -#}
{% macro ratio(numerator, denominator) -%}
    cast({{ numerator }} as double) / nullif({{ denominator }}, 0)
{%- endmacro %}
