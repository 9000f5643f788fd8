{#- Normal quantiles of numbers, as literals: found while compiling, by one query, so that the model
    does not hold the long expression of each. -#}
{% macro normal_quantiles(probabilities) -%}
    {%- if not execute -%}
        {{- return(['0e0'] * (probabilities | length)) -}}
    {%- endif -%}
    {%- set expressions, quantiles = [], [] -%}
    {%- for probability in probabilities -%}
        {%- do expressions.append(normal_quantile(probability)) -%}
    {%- endfor -%}
    {%- for quantile in run_query('select ' ~ expressions | join(', ')).rows[0] -%}
        {%- do quantiles.append('%.17e' | format(quantile | float)) -%}
    {%- endfor -%}
    {{- return(quantiles) -}}
{%- endmacro %}

{#- Normal quantile of the level of the intervals. -#}
{% macro confidence_z() -%}
    {{ normal_quantiles([(1 + var('confidence_level')) / 2])[0] }}
{%- endmacro %}
