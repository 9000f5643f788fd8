{#- What `scripts/ott/source.py` says of the files of events: a mapping with `query`, what they are selected
    from, and `rows`, their number as counted when they were last `checked`. Stops the run with a
    sentence when they cannot be read. -#}
{% macro event_files(path, checked=false) %}
    {%- set request = {'path': path, 'columns': source_columns(), 'checked': checked} -%}
    {%- if path == 'seed' -%}
        {%- do request.update({
            'path': own_node('raw_compliance_events').original_file_path,
            'columns': raw_event_columns(),
            'is_seed': true,
        }) -%}
    {%- endif -%}
    {%- set answer = fromjson(run_query(
        'select event_files(' ~ dbt.string_literal(dbt.escape_single_quotes(tojson(request))) ~ ')'
    ).rows[0][0]) -%}
    {%- if answer.problem -%}
        {{ exceptions.raise_compiler_error(answer.problem) }}
    {%- endif -%}
    {{- return(answer) -}}
{% endmacro %}
