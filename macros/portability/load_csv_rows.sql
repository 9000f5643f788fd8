{#- dbt-duckdb lets DuckDB guess how the file quotes its values. A guess that is wrong reads a
    damaged file as if nothing were amiss; told outright, DuckDB stops and names the line. The path that
    it takes is that of the folder which was parsed, perhaps the one that this one is a copy of. -#}
{% macro duckdb__load_csv_rows(model, agate_table) %}
    {%- set sql -%}
        copy {{ this }} from {{ duckdb_path(agate_table.original_abspath) }} (
            format csv, header true, auto_detect false, delimiter ',', quote '"', escape '"'
        )
    {%- endset -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{- return(sql) -}}
{% endmacro %}

{#- dbt-spark sends each value as a cast of its own, in many statements: that takes minutes, turns
    nulls into the text 'None' and breaks on apostrophes. One statement with all rows as one JSON
    text does neither, and needs no file that a cluster could read. -#}
{% macro spark__load_csv_rows(model, agate_table) %}
    {%- set fields, casts, rows = [], [], [] -%}
    {%- for name in agate_table.column_names -%}
        {%- set type = model.config.column_types.get(
            name, adapter.convert_type(agate_table, loop.index0)
        ) -%}
        {%- do fields.append(adapter.quote(name) ~ ' string') -%}
        {%- do casts.append('cast(' ~ adapter.quote(name) ~ ' as ' ~ type ~ ')') -%}
    {%- endfor -%}
    {%- for row in agate_table.rows -%}
        {%- set texts = {} -%}
        {%- for name in agate_table.column_names -%}
            {%- do texts.update({name: row[name] | string if row[name] is not none else none}) -%}
        {%- endfor -%}
        {%- do rows.append(texts) -%}
    {%- endfor -%}
    {%- set sql -%}
        insert into {{ this }}
        select {{ casts | join(', ') }}
        from (
            select inline(from_json(
                {{ spark_string(tojson(rows)) }},
                'array<struct<{{ fields | join(', ') }}>>',
                map('mode', 'FAILFAST')
            ))
        )
    {%- endset -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{- return(sql) -}}
{% endmacro %}
