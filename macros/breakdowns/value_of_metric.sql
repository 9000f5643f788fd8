{#- The column of a relation that has the name of the metric; null for metrics that are not listed. -#}
{% macro value_of_metric(metric, relation, columns) -%}
    case {{ metric }}
        {%- for column in columns %} when '{{ column }}' then {{ relation }}.{{ column }}{% endfor %}
    end
{%- endmacro %}
