{#- Turns the columns of a one-row relation into rows: metric, value_number, value_text. -#}
{% macro metric_rows(relation, numbers=[], texts=[]) -%}
    {%- for metric in numbers + texts %}
    select
        '{{ metric }}' as metric,
        {% if metric in numbers %}cast({{ metric }} as double){% else %}cast(null as double){% endif %} as value_number,
        {% if metric in texts %}cast({{ metric }} as {{ dbt.type_string() }}){% else %}cast(null as {{ dbt.type_string() }}){% endif %} as value_text
    from {{ relation }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
