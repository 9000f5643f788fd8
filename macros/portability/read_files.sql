{% macro read_files(path, columns) %}
    {{- return(adapter.dispatch('read_files')(path, columns)) -}}
{% endmacro %}

{#- CSV and JSON are read as text, so that one odd value cannot stop a build; Parquet has types. -#}
{% macro duckdb__read_files(path, columns) %}
    {%- set location = dbt.string_literal(dbt.escape_single_quotes(path)) -%}
    {%- set format = file_format(path) -%}
    {%- if format == 'parquet' -%}
        {{- return('read_parquet(' ~ location ~ ', union_by_name = true)') -}}
    {%- elif format == 'csv' -%}
        {{- return(
            'read_csv(' ~ location ~ ", all_varchar = true, header = true, union_by_name = true, "
            ~ "delim = ',', quote = '\"', escape = '\"')"
        ) -}}
    {%- else -%}
        {%- set types = [] -%}
        {%- for column in columns -%}
            {%- do types.append(adapter.quote(column) ~ ": 'VARCHAR'") -%}
        {%- endfor -%}
        {{- return('read_json(' ~ location ~ ', columns = {' ~ types | join(', ') ~ '})') -}}
    {%- endif -%}
{% endmacro %}

{#- Every machine of the cluster reads the files by itself, so the path must be good on all of them. -#}
{% macro spark__read_files(path, columns) %}
    {%- set options = {
        'parquet': "mergeSchema = 'true'",
        'csv': "header = 'true', multiLine = 'true', quote = '\"', escape = '\"'",
        'json': "primitivesAsString = 'true'",
    } -%}
    {%- set format = file_format(path) -%}
    {{- return(format ~ '.' ~ adapter.quote(path) ~ ' with (' ~ options[format] ~ ')') -}}
{% endmacro %}

{#- `parquet`, `csv` or `json`, by the ending of a path; compressed files end in .gz or .zst, too. -#}
{% macro file_format(path) %}
    {%- set ending = path.lower().removesuffix('.gz').removesuffix('.zst').rsplit('.', 1)[-1] -%}
    {%- set formats = {
        'parquet': 'parquet', 'csv': 'csv', 'json': 'json', 'jsonl': 'json', 'ndjson': 'json'
    } -%}
    {%- if ending not in formats -%}
        {{ exceptions.raise_compiler_error(
            "The var events_source is '" ~ path ~ "'. It must be `seed`, files that end in .parquet, .csv,"
            ~ ' .json, .jsonl or .ndjson (data/events/*.parquet), or a mapping with database, schema and'
            ~ ' table.'
        ) }}
    {%- endif -%}
    {{- return(formats[ending]) -}}
{% endmacro %}
