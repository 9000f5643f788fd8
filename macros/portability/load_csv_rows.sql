{#- dbt-duckdb lets DuckDB guess how the file quotes its values. A guess that is wrong reads a
    damaged file as if nothing were amiss; told outright, DuckDB stops and names the line. -#}
{% macro duckdb__load_csv_rows(model, agate_table) %}
    {%- set sql -%}
        copy {{ this }} from '{{ adapter.get_seed_file_path(model) }}' (
            format csv, header true, auto_detect false, delimiter ',', quote '"', escape '"'
        )
    {%- endset -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{- return(sql) -}}
{% endmacro %}
