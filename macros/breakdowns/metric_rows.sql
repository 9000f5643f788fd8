{#- Turns the columns of a one-row relation into rows: metric, value_number, value_text. -#}
{% macro metric_rows(relation, numbers=[], texts=[]) -%}
    {%- for metric in numbers + texts %}
    {%- set number, text = (metric, 'null') if metric in numbers else ('null', metric) %}
    select
        '{{ metric }}' as metric,
        cast({{ number }} as double) as value_number,
        cast({{ text }} as {{ dbt.type_string() }}) as value_text
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
