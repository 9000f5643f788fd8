{#- Looks at the beginning of the events file before anything is built: dbt loads a file with a wrong
    delimiter or without rows as if nothing were amiss, and reports an empty one as a
    StopIteration. -#}
{% macro check_events_file(seed) %}
    {%- if target.type == 'duckdb' -%}
        {%- set file = graph.nodes['seed.' ~ project_name ~ '.' ~ seed].original_file_path -%}
        {%- set start = run_query(
            'select left(content, 10000) as content from read_text(' ~ duckdb_path(file) ~ ')'
        ) -%}
        {%- set lines = (start.rows[0]['content'] or '').lstrip('\ufeff').splitlines() -%}
        {%- set filled_lines = lines | select | list -%}
        {%- set header = filled_lines | first | default('', true) -%}
        {%- set found = csv_columns(header) -%}
        {%- set missing = raw_event_columns() | reject('in', found) | list -%}
        {%- set other_delimiter = [';', '\t', '|'] | select('in', header) | first -%}
        {%- if not header -%}
            {{ stop_because_of_file(file, 'is empty. Its first line must name the columns: ' ~ raw_event_columns() | join(',')) }}
        {%- elif missing and other_delimiter -%}
            {{ stop_because_of_file(file, "is not separated by commas but by '" ~ other_delimiter ~ "', it seems. Save it as CSV with commas.") }}
        {%- elif missing -%}
            {{ stop_because_of_file(file, 'lacks the column(s) ' ~ missing | join(', ') ~ ' in its first line, which reads: ' ~ header ~ '. Add or rename them there, in lower case and without blanks around the names.') }}
        {%- elif found | unique | list | length < found | length -%}
            {{ stop_because_of_file(file, 'names a column twice in its first line, which reads: ' ~ header ~ '. Rename or remove one.') }}
        {%- elif not lines[0] -%}
            {{ stop_because_of_file(file, 'begins with an empty line. Remove it.') }}
        {%- elif filled_lines | length < 2 -%}
            {{ stop_because_of_file(file, 'has a header but no rows. Add events below it.') }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{% macro stop_because_of_file(file, problem) %}
    {{ exceptions.raise_compiler_error('The events file ' ~ file.removeprefix(project_folder() ~ '/') ~ ' ' ~ problem) }}
{% endmacro %}
