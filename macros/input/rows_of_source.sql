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
