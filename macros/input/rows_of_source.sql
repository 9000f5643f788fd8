{#- The number of raw rows in the source, by other means than the build reads them: of files, from the
    footers of Parquet and by readers of Python for text; of tables and queries, by counting. -#}
{% macro rows_of_source() %}
    {%- if var('events_source') is mapping -%}
        (select count(*) from {{ raw_events() }})
    {%- elif execute and target.type == 'duckdb' -%}
        cast({{ event_source().rows | default('null', true) }} as bigint)
    {%- else -%}
        cast(null as bigint)
    {%- endif -%}
{% endmacro %}

{#- Query for the files of the source as they are: `source_file`, `file_version`, which another content
    has another of, and `file_rows` as counted by other means. One without a version is to be read in any
    case, as is a source that is no files, which is one without a name. -#}
{% macro files_of_source() -%}
    {%- set files = event_source().files if execute and source_is_files() -%}
    select
        cast(source_file as {{ dbt.type_string() }}) as source_file,
        cast(file_version as {{ dbt.type_string() }}) as file_version,
        cast(file_rows as bigint) as file_rows
    from (
        values
        {%- for file in files or [{'file': '', 'version': none, 'rows': none}] %}
            ({{ literal(file.file) }}, {{ literal(file.version) }}, {{ literal(file.rows) }})
            {{- ',' if not loop.last }}
        {%- endfor %}
    ) as files (source_file, file_version, file_rows)
{%- endmacro %}
