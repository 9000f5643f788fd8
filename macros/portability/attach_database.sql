{% macro attach_database(database, name) %}
    {%- if execute -%}
        {{- adapter.dispatch('attach_database')(database, name) -}}
    {%- endif -%}
{% endmacro %}

{#- Other engines find the databases that they know in their own catalog. -#}
{% macro default__attach_database(database, name) %}
{% endmacro %}

{% macro duckdb__attach_database(database, name) %}
    {%- set location = duckdb_path(database) -%}
    {%- if ':' not in database
        and not run_query('select count(*) from glob(' ~ location ~ ')').rows[0][0] -%}
        {{ exceptions.raise_compiler_error(
            "There is no database '" ~ database ~ "', which the var events_source names, from the project's "
            ~ 'folder. Mend the path.'
        ) }}
    {%- endif -%}
    {%- set problem = run_query(
        'select attach_read_only(' ~ dbt.string_literal(dbt.escape_single_quotes(database)) ~ ", '" ~ name ~ "')"
    ).rows[0][0] -%}
    {%- if problem -%}
        {{ exceptions.raise_compiler_error(
            'The database ' ~ database ~ ', which the var events_source names, ' ~ problem
        ) }}
    {%- endif -%}
{% endmacro %}
