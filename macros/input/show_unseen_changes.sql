{#- For `ott check-source --deep`: the files that hold other rows than when a build read them, although
    their size and time are the same, as a line of JSON in the log. -#}
{% macro show_unseen_changes() %}
    {{ check_events_source() }}
    {%- set recorded = own_node('int_source_file_days') -%}
    {%- set recorded = adapter.get_relation(recorded.database, recorded.schema, recorded.alias) -%}
    {%- if not (source_is_files() and recorded) -%}
        {{ exceptions.raise_compiler_error(
            'No build has read files here: build first, from files. Tables and queries are read whole by each build.'
        ) }}
    {%- endif -%}
    {%- set files = run_query(
        'with files as (' ~ files_of_source() ~ '),'
        ~ ' found as (select source_file, source_date, count(*) as raw_rows, '
        ~ sum_of_row_hashes() ~ ' as sum_of_hashes from ' ~ ref('stg_compliance_events') ~ ' group by all),'
        ~ ' recorded as (select recorded.source_file, source_date, raw_rows, sum_of_hashes from ' ~ recorded
        ~ ' as recorded inner join files on recorded.source_file = files.source_file'
        ~ ' and recorded.file_version = files.file_version)'
        ~ ' select distinct source_file from recorded full join found using (source_file, source_date)'
        ~ ' where source_file in (select source_file from recorded) and ('
        ~ ' recorded.raw_rows is distinct from found.raw_rows'
        ~ ' or recorded.sum_of_hashes is distinct from found.sum_of_hashes) order by 1'
    ).columns[0].values() -%}
    {{ log('unseen changes: ' ~ tojson(files | list), info=true) }}
{% endmacro %}
