{#- What `scripts/ott/source/` says of the source: a mapping with `query`, what the events are selected
    from, `rows`, their number as counted when they were last `checked`, `files` with the same of each,
    and `notes` on what parts of it lack. Stops the run with a sentence when it cannot be read. -#}
{% macro event_source(checked=false) %}
    {%- set events_source = var('events_source') -%}
    {%- set expressions = {} -%}
    {%- for column, source in source_of_columns().items() if source is mapping -%}
        {%- do expressions.update({column: source.sql}) -%}
    {%- endfor -%}
    {%- set by = var('repeated_events').get('by') if keeps_one_of_repeats() -%}
    {%- if by -%}
        {%- do expressions.update({'repeated_events': order_of_repeats()}) -%}
    {%- endif -%}
    {%- set form = var('events_format') -%}
    {%- set request = {
        'names': source_columns(),
        'expressions': expressions,
        'file_order': keeps_one_of_repeats() and not by,
        'format': {'type': form} if form is string else form,
        'checked': checked,
        'recorded': none,
    } -%}
    {%- if events_source == 'seed' -%}
        {%- do request.update({'seed': own_node('raw_compliance_events').original_file_path}) -%}
    {%- elif is_table(events_source) -%}
        {%- do request.update({
            'table': raw_events() | string,
            'named': 'The table ' ~ events_source.schema ~ '.' ~ events_source.table ~ ' of '
                ~ events_source.database,
        }) -%}
    {%- elif events_source is mapping -%}
        {%- do request.update({'sql': events_source.sql}) -%}
    {%- else -%}
        {%- set node = own_node('int_source_file_days') -%}
        {%- set recorded = adapter.get_relation(node.database, node.schema, node.alias) if checked -%}
        {%- do request.update({
            'files': events_source,
            'by_content': var('find_changed_files_by') == 'content',
            'recorded': recorded | string
                if recorded and not invocation_args_dict.get('full_refresh') else none,
        }) -%}
    {%- endif -%}
    {%- set answer = fromjson(run_query(
        'select event_source(' ~ dbt.string_literal(dbt.escape_single_quotes(tojson(request))) ~ ')'
    ).rows[0][0]) -%}
    {%- if answer.problem -%}
        {{ exceptions.raise_compiler_error(answer.problem) }}
    {%- endif -%}
    {%- if checked -%}
        {%- for note in answer.notes -%}
            {{ log(note, info=true) }}
        {%- endfor -%}
    {%- endif -%}
    {{- return(answer) -}}
{% endmacro %}
