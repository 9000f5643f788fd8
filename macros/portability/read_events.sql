{#- What events of files or of a query are selected from. -#}
{% macro read_events() %}
    {{- return(adapter.dispatch('read_events')()) -}}
{% endmacro %}

{#- CSV and JSON are read as text, so that one odd value cannot stop a build; Parquet has types. -#}
{% macro duckdb__read_events() %}
    {{- return(event_source().query if execute else '') -}}
{% endmacro %}

{% macro spark__read_events() %}
    {%- set events_source = var('events_source') -%}
    {%- if events_source is mapping -%}
        {{- return('(' ~ events_source.sql ~ ')') -}}
    {%- endif -%}
    {{- return(read_files(events_source)) -}}
{% endmacro %}

{#- Every machine of the cluster reads the files by itself, so the path must be good on all of them.
    Spark takes the columns of CSV files from one of them, and left alone it fills short rows with
    nulls, cuts long ones, and reads files of another order as if they had the same. Here it compares
    each file with the columns (enforceSchema) and each row with their number (FAILFAST), also where
    a query needs some of them only (columnPruning), and stops. A row ends with its line (multiLine):
    else an open quote in the last column swallows all rows below. -#}
{% macro read_files(path) %}
    {%- set options = {
        'parquet': "mergeSchema = 'true'",
        'csv': "header = 'true', quote = '\"', escape = '\"', enforceSchema = 'false', mode = 'FAILFAST',"
            ~ " columnPruning = 'false', multiLine = 'false'",
    } -%}
    {%- set format = file_format(path) -%}
    {%- if format not in options -%}
        {{ exceptions.raise_compiler_error(
            "Spark cannot read '" ~ path ~ "', which the var events_source names: of a line of JSON it drops what follows"
            ~ ' the first object, without a word. Convert the files to Parquet, for example with'
            ~ " DuckDB: copy (from '" ~ path ~ "') to 'events.parquet'"
        ) }}
    {%- endif -%}
    {{- return(format ~ '.' ~ adapter.quote(path) ~ ' with (' ~ options[format] ~ ')') -}}
{% endmacro %}

{#- `parquet`, `csv` or `json`, by the var `events_format` or the ending of a path; compressed files end in
    .gz or .zst, too. -#}
{% macro file_format(path) %}
    {%- set ending = (path | string).lower().removesuffix('.gz').removesuffix('.zst').rsplit('.', 1)[-1] -%}
    {%- set formats = {
        'parquet': 'parquet', 'csv': 'csv', 'json': 'json', 'jsonl': 'json', 'ndjson': 'json'
    } -%}
    {%- set form = var('events_format') -%}
    {%- set told = form if form is string else form.get('type') -%}
    {%- if not told and ending not in formats or path is not string -%}
        {{ exceptions.raise_compiler_error(
            "The var events_source is '" ~ path ~ "'. On Spark it must be `seed`, one path or glob of files that end in"
            ~ ' .parquet or .csv (data/events/*.parquet), or a mapping with sql, or with schema and table.'
        ) }}
    {%- endif -%}
    {{- return(told or formats[ending]) -}}
{% endmacro %}
