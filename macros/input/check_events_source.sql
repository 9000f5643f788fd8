{#- Says in a sentence what is wrong with the source of the events before anything is built. -#}
{% macro check_events_source() %}
    {%- if execute -%}
        {%- set events_source = var('events_source') -%}
        {%- set unknown = var('events_columns') | reject('in', raw_event_columns()) | list -%}
        {%- if unknown -%}
            {{ exceptions.raise_compiler_error(
                'The var events_columns names ' ~ unknown | join(', ') ~ ', which is no column of an event.'
                ~ ' It maps these names to those of the source: ' ~ raw_event_columns() | join(', ') ~ '.'
            ) }}
        {%- elif events_source == 'seed' -%}
            {{ check_events_file('raw_compliance_events') }}
        {%- elif events_source is mapping -%}
            {#- Spark knows no databases. -#}
            {%- set needed = (['database'] if target.type == 'duckdb' else []) + ['schema', 'table'] -%}
            {%- set missing = needed | reject('in', events_source) | list -%}
            {%- if missing -%}
                {{ exceptions.raise_compiler_error(
                    'The var events_source lacks ' ~ missing | join(', ') ~ '. A table is named by database,'
                    ~ ' schema and table.'
                ) }}
            {%- endif -%}
            {%- set relation = raw_events() -%}
            {%- if load_relation(relation) is none -%}
                {{ exceptions.raise_compiler_error(
                    'There is no table ' ~ events_source.schema ~ '.' ~ events_source.table ~ ' in '
                    ~ events_source.database ~ ', which the var events_source names.'
                ) }}
            {%- endif -%}
            {{ require_columns(relation, source_columns()) }}
        {%- else -%}
            {{ adapter.dispatch('check_event_files')(events_source) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{% macro default__check_event_files(path) %}
{% endmacro %}

{% macro duckdb__check_event_files(path) %}
    {%- set location = dbt.string_literal(dbt.escape_single_quotes(path)) -%}
    {%- set format = file_format(path) -%}
    {#- Object stores are asked by the reader itself. -#}
    {%- if '://' not in path
        and not run_query('select count(*) from glob(' ~ location ~ ')').rows[0][0] -%}
        {{ exceptions.raise_compiler_error(
            "No file matches '" ~ path ~ "', which the var events_source names, from the folder "
            ~ 'that dbt runs in. Mend the path; to read all files of a folder, end it in /*.' ~ format ~ '.'
        ) }}
    {%- endif -%}
    {%- if format == 'parquet' -%}
        {#- Read together, a file that lacks a column would have nulls there. -#}
        {%- set columns_of_files = parquet_columns(path) -%}
    {%- else -%}
        {%- set reader = 'read_json_auto(' ~ location ~ ')' if format == 'json' else read_files(path, source_columns()) -%}
        {%- set columns_of_files = {path: run_query('describe select * from ' ~ reader).columns[0].values() | list} -%}
    {%- endif -%}
    {%- for file, found in columns_of_files.items() -%}
        {#- Keys of JSON differ by case, too. -#}
        {%- set known = found + ([] if format == 'json' else found | map('lower') | list) -%}
        {%- set missing = [] -%}
        {%- for column in source_columns() if column not in known and (format == 'json' or column | lower not in known) -%}
            {%- do missing.append(column) -%}
        {%- endfor -%}
        {%- if missing -%}
            {{ exceptions.raise_compiler_error(
                file ~ ' lacks the column(s) ' ~ missing | join(', ') ~ '. It has: ' ~ found | join(', ')
                ~ '. Add them, or say in the var events_columns what they are called there.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
