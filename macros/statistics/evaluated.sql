{#- The number that an SQL expression of constants stands for, found while compiling: in place of a
    long expression the query then holds a literal. -#}
{% macro evaluated(expression) -%}
    {%- if execute -%}
        {{- '%.17e' | format(run_query('select ' ~ expression ~ ' as value').rows[0][0] | float) -}}
    {%- else -%}
        0e0
    {%- endif -%}
{%- endmacro %}

{#- Normal quantile of the level of the intervals. -#}
{% macro confidence_z() -%}
    {{ evaluated(normal_quantile((1 + var('confidence_level')) / 2)) }}
{%- endmacro %}

{#- Normal quantile of the power of detectable differences. -#}
{% macro power_z() -%}
    {{ evaluated(normal_quantile(var('power'))) }}
{%- endmacro %}
