{#- The numbers that SQL expressions of constants stand for, found while compiling by one query: in
    place of long expressions the query then holds literals. -#}
{% macro evaluated(expressions) -%}
    {%- set numbers = [] -%}
    {%- if execute -%}
        {%- for number in run_query('select ' ~ expressions | join(', ')).rows[0] -%}
            {%- do numbers.append('%.17e' | format(number | float)) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(numbers or ['0e0'] * (expressions | length)) -}}
{%- endmacro %}

{#- Normal quantiles of constants, as literals. -#}
{% macro normal_quantiles(probabilities) -%}
    {%- set expressions = [] -%}
    {%- for probability in probabilities -%}
        {%- do expressions.append(normal_quantile(probability)) -%}
    {%- endfor -%}
    {{- return(evaluated(expressions)) -}}
{%- endmacro %}

{#- Normal quantile of the level of the intervals. -#}
{% macro confidence_z() -%}
    {{ normal_quantiles([(1 + var('confidence_level')) / 2])[0] }}
{%- endmacro %}
