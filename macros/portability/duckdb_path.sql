{#- A path as an SQL text. DuckDB would begin a relative one at the folder that dbt is called in, and
    brackets in the name of the project's folder would be a pattern. -#}
{% macro duckdb_path(path) %}
    {%- if execute and not modules.re.match('[/\\\\~]|\\w+:', path | string) -%}
        {%- set path = modules.re.sub('([*?[])', '[\\1]', project_folder()) ~ '/' ~ path -%}
    {%- endif -%}
    {{- return(dbt.string_literal(dbt.escape_single_quotes(path))) -}}
{% endmacro %}

{#- The plugin knows it; dbt tells a macro only the folder where it parsed the project, once. -#}
{% macro project_folder() %}
    {{- return(run_query('select project_folder()').rows[0][0]) -}}
{% endmacro %}
