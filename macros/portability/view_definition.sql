{#- SQL text of a view; engines keep it in catalogs of their own. -#}
{% macro view_definition(relation) %}
    {{- return(adapter.dispatch('view_definition')(relation)) -}}
{% endmacro %}

{% macro duckdb__view_definition(relation) %}
    {{- return(run_query(
        "select sql from duckdb_views() where database_name = '" ~ relation.database
        ~ "' and schema_name = '" ~ relation.schema ~ "' and view_name = '" ~ relation.identifier ~ "'"
    ).rows[0][0]) -}}
{% endmacro %}

{% macro spark__view_definition(relation) %}
    {%- for row in run_query('describe extended ' ~ relation).rows if row[0] == 'View Text' -%}
        {{- return(row[1]) -}}
    {%- endfor -%}
{% endmacro %}
