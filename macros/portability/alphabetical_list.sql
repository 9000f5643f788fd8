{% macro alphabetical_list(column) %}
    {{- return(adapter.dispatch('alphabetical_list')(column)) -}}
{% endmacro %}

{#- `dbt.listagg` cannot sort on Spark, hence the pair. -#}
{% macro default__alphabetical_list(column) -%}
    string_agg({{ column }}, ',' order by {{ column }})
{%- endmacro %}

{% macro spark__alphabetical_list(column) -%}
    array_join(array_sort(collect_list({{ column }})), ',')
{%- endmacro %}
