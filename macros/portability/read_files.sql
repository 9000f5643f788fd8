{% macro read_files(path) %}
    {{- return(adapter.dispatch('read_files')(path)) -}}
{% endmacro %}

{#- CSV and JSON are read as text, so that one odd value cannot stop a build; Parquet has types. -#}
{% macro duckdb__read_files(path) %}
    {{- return(event_files(path).query if execute else '') -}}
{% endmacro %}

{#- Every machine of the cluster reads the files by itself, so the path must be good on all of them.
    Spark takes the columns of CSV files from one of them, and left alone it fills short rows with
    nulls, cuts long ones, and reads files of another order as if they had the same. Here it compares
    each file with the columns (enforceSchema) and each row with their number (FAILFAST), also where
    a query needs some of them only (columnPruning), and stops. A row ends with its line (multiLine):
    else an open quote in the last column swallows all rows below. -#}
{% macro spark__read_files(path) %}
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

{#- `parquet`, `csv` or `json`, by the ending of a path; compressed files end in .gz or .zst, too. -#}
{% macro file_format(path) %}
    {%- set ending = (path | string).lower().removesuffix('.gz').removesuffix('.zst').rsplit('.', 1)[-1] -%}
    {%- set formats = {
        'parquet': 'parquet', 'csv': 'csv', 'json': 'json', 'jsonl': 'json', 'ndjson': 'json'
    } -%}
    {%- if ending not in formats -%}
        {{ exceptions.raise_compiler_error(
            "The var events_source is '" ~ path ~ "'. It must be `seed`, a path or glob of files that end in .parquet, .csv,"
            ~ ' .json, .jsonl or .ndjson (data/events/*.parquet), or a mapping with database, schema and'
            ~ ' table.'
        ) }}
    {%- endif -%}
    {{- return(formats[ending]) -}}
{% endmacro %}
