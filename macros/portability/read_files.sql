{% macro read_files(path, columns) %}
    {{- return(adapter.dispatch('read_files')(path, columns)) -}}
{% endmacro %}

{#- CSV and JSON are read as text, so that one odd value cannot stop a build; Parquet has types. -#}
{% macro duckdb__read_files(path, columns) %}
    {%- set location = duckdb_path(path) -%}
    {%- set format = file_format(path) -%}
    {%- if format == 'parquet' -%}
        {{- return('read_parquet(' ~ location ~ ', union_by_name = true, hive_partitioning = false)') -}}
    {%- elif format == 'csv' -%}
        {{- return(read_csv_files(path, columns)) -}}
    {%- else -%}
        {%- set types = [] -%}
        {%- for column in columns -%}
            {%- do types.append(quoted_name(column) ~ ": 'VARCHAR'") -%}
        {%- endfor -%}
        {{- return('read_json(' ~ location ~ ', hive_partitioning = false, columns = {' ~ types | join(', ') ~ '})') -}}
    {%- endif -%}
{% endmacro %}

{#- DuckDB must not guess the form of a CSV file: where a row has a value too many, it takes the rows
    before it for a preface, and it takes `#` for a comment; the rows are lost without a word. So the
    first lines say which columns there are. Files with the same ones are read together. -#}
{% macro read_csv_files(path, columns) %}
    {%- set location = duckdb_path(path) -%}
    {%- set matches = run_query('select file from glob(' ~ location ~ ') order by file').columns[0].values() if execute else [] -%}
    {%- set form = "auto_detect = false, delim = ',', quote = '\"', escape = '\"'" -%}
    {%- set files_of_headers = {} -%}
    {#- What cannot be listed, as over https, can still be read. -#}
    {%- for name in (matches or [path] if execute else []) -%}
        {%- set file = dbt.string_literal(dbt.escape_single_quotes(name)) -%}
        {%- set first_lines = run_query(
            'select line from read_csv(' ~ file ~ ", auto_detect = false, header = false, delim = '\\x01', quote = '',"
            ~ " escape = '', columns = {line: 'VARCHAR'}) limit 1"
        ).rows -%}
        {%- set header = (first_lines[0][0] if first_lines else '') | default('', true) -%}
        {%- set header = header.lstrip('\ufeff') -%}
        {%- set found = csv_columns(header.lower()) -%}
        {%- set missing = [] -%}
        {%- for column in columns if column | lower not in found -%}
            {%- do missing.append(column) -%}
        {%- endfor -%}
        {%- if not header -%}
            {{ stop_because_of_file(name, 'is empty. Its first line must name the columns: ' ~ columns | join(',')) }}
        {%- elif missing -%}
            {{ stop_because_of_file(name, 'lacks the column(s) ' ~ missing | join(', ') ~ ' in its first line, which reads: ' ~ header ~ '. Add them, or say in the var events_columns what they are called there; values are separated by commas.') }}
        {%- elif found | unique | list | length < found | length -%}
            {{ stop_because_of_file(name, 'names a column twice in its first line, which reads: ' ~ header ~ '. Rename or remove one.') }}
        {%- endif -%}
        {%- do files_of_headers.setdefault(header, []).append(file) -%}
    {%- endfor -%}
    {%- set selected = [] -%}
    {%- for column in columns -%}
        {%- do selected.append(quoted_name(column)) -%}
    {%- endfor -%}
    {%- set queries = [] -%}
    {%- for header, files in files_of_headers.items() -%}
        {%- set types = [] -%}
        {%- for column in csv_columns(header) -%}
            {%- do types.append(quoted_name(column) ~ ": 'VARCHAR'") -%}
        {%- endfor -%}
        {%- do queries.append(
            'select ' ~ selected | join(', ') ~ ' from read_csv([' ~ files | join(', ') ~ '], header = true, hive_partitioning = false, ' ~ form
            ~ ', columns = {' ~ types | join(', ') ~ '})'
        ) -%}
    {%- endfor -%}
    {{- return('(' ~ queries | join(' union all ') ~ ')') -}}
{% endmacro %}

{#- The columns of Parquet files, by file; of files that have the same ones, only one is there. -#}
{% macro parquet_columns(path) %}
    {%- set schemas = run_query(
        'select min(file_name), elements from ('
        ~ 'select file_name, to_json(list({name: name, children: num_children} order by column_id)) as elements'
        ~ ' from parquet_schema(' ~ duckdb_path(path) ~ ')'
        ~ ' group by file_name) group by elements order by all'
    ) -%}
    {%- set columns_of_files = {} -%}
    {%- for file, elements in schemas.rows -%}
        {#- First comes the root, and after each column the fields within it. -#}
        {%- set names, fields = [], namespace(left=0) -%}
        {%- for element in fromjson(elements)[1:] -%}
            {%- if not fields.left -%}{%- do names.append(element.name) -%}{%- endif -%}
            {%- set fields.left = [fields.left - 1, 0] | max + (element.children or 0) -%}
        {%- endfor -%}
        {%- do columns_of_files.update({file: names}) -%}
    {%- endfor -%}
    {{- return(columns_of_files) -}}
{% endmacro %}

{#- Every machine of the cluster reads the files by itself, so the path must be good on all of them.
    Spark takes the columns of CSV files from one of them, and left alone it fills short rows with
    nulls, cuts long ones, and reads files of another order as if they had the same. Here it compares
    each file with the columns (enforceSchema) and each row with their number (FAILFAST), also where
    a query needs some of them only (columnPruning), and stops. A row ends with its line (multiLine):
    else an open quote in the last column swallows all rows below. -#}
{% macro spark__read_files(path, columns) %}
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
