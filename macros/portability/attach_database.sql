{% macro attach_database(database, name) %}
    {%- if execute -%}
        {{- adapter.dispatch('attach_database')(database, name) -}}
    {%- endif -%}
{% endmacro %}

{#- Other engines find the databases that they know in their own catalog. -#}
{% macro default__attach_database(database, name) %}
{% endmacro %}

{% macro duckdb__attach_database(database, name) %}
    {%- do run_query(
        'attach if not exists ' ~ dbt.string_literal(dbt.escape_single_quotes(database))
        ~ ' as ' ~ name ~ ' (read_only)'
    ) -%}
{% endmacro %}
