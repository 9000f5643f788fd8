{#- Looks at the events file before anything is built: dbt loads a file with a wrong delimiter or
    without rows as if nothing were amiss, and reports an empty one as a StopIteration. -#}
{% macro check_events_file(path) %}
    {%- if execute and target.type == 'duckdb' -%}
        {%- set contents = run_query("select left(content, 10000) from read_text('" ~ path ~ "')") -%}
        {%- set lines = (contents.columns[0].values() | first | default('', true)).splitlines() -%}
        {%- set header = (lines | first | default('', true)).lstrip('\ufeff') -%}
        {%- set found = header.replace('"', '').split(',') | map('trim') | list -%}
        {%- set missing = raw_event_columns() | reject('in', found) | list -%}
        {%- set other_delimiter = [';', '\t', '|'] | select('in', header) | first -%}
        {%- if not header -%}
            {{ stop_because_of_file(path, 'is empty. Its first line must name the columns: ' ~ raw_event_columns() | join(',')) }}
        {%- elif missing and other_delimiter -%}
            {{ stop_because_of_file(path, "is not separated by commas but by '" ~ other_delimiter ~ "', it seems. Save it as CSV with commas.") }}
        {%- elif missing -%}
            {{ stop_because_of_file(path, 'lacks the column(s) ' ~ missing | join(', ') ~ ' in its first line, which reads: ' ~ header ~ '. Add or rename them there.') }}
        {%- elif lines | length < 2 -%}
            {{ stop_because_of_file(path, 'has a header but no rows. Add events below it.') }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{% macro stop_because_of_file(path, problem) %}
    {{ exceptions.raise_compiler_error('The events file ' ~ path ~ ' ' ~ problem) }}
{% endmacro %}
