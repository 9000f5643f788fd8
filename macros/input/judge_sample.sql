{#- What would become of the first rows of the source, before anything is built: a mapping with their
    number as `rows`, `reasons` with how many rows each rejects, of each column its `type`, how many values
    are there and how many can be read, and `notes` on what was guessed. Null on engines that it is not written for. -#}
{% macro judge_sample(rows=10000) %}
    {{- return(adapter.dispatch('judge_sample')(rows)) -}}
{% endmacro %}

{% macro default__judge_sample(rows) %}
{% endmacro %}

{#- Neither models nor seeds need be there: the sample is a temporary table, and members are read from
    the files of the seeds. -#}
{% macro duckdb__judge_sample(rows) %}
    {%- do run_query(
        'create or replace temp table raw_sample as select ' ~ raw_columns_of_source() | join(', ')
        ~ ' from ' ~ raw_events() ~ (
            ' where ott_file in (' ~ text_list(new_files() | map(attribute='file')) ~ ')' if new_files()
        ) ~ ' limit ' ~ rows
    ) -%}
    {%- set types, kinds = {}, {} -%}
    {%- for column in run_query('describe raw_sample').rows -%}
        {%- do types.update({column[0]: column[1]}) -%}
        {%- do kinds.update({column[0]: kind_of_type(column[1])}) -%}
    {%- endfor -%}
    {%- set judged -%}
        with events as (
            select
                {%- for column in event_columns() %}
                    {{ read_column(column, 'raw_events', kinds) }} as {{ column.value }},
                    raw_events.{{ column.name }} as raw_{{ column.name }},
                {%- endfor %}
                1 as versions
            from raw_sample as raw_events
        ),

        reasons as (
            select
                {%- for column in event_columns() %}
                    events.{{ column.value }},
                    {{ read_text('events.raw_' ~ column.name) }} as text_of_{{ column.name }},
                {%- endfor %}
                {{ unit_of_epoch('events.raw_timestamp', 'events.occurred_at') }} as epoch_unit,
                {%- for column in judged_columns() %}
                    {{ first_reason(column) }} as {{ column.name }}_reason{{ ',' if not loop.last }}
                {%- endfor %}
            from events
            {%- for column in event_columns() if column.kind == 'member' %}
                left join {{ seed_file(column.seed) }} as {{ column.seed }}
                    on events.{{ column.name }} = {{ fold_member(column.seed ~ '.' ~ column.name) }}
            {%- endfor %}
        )
    {%- endset -%}
    {%- set reasons = {} -%}
    {%- for row in run_query(
        judged ~ ' select reason, count(*) from (select unnest([' ~ judged_columns() | map(attribute='name') | join('_reason, ')
        ~ '_reason]) as reason from reasons) where reason is not null group by reason order by 2 desc'
    ).rows -%}
        {%- do reasons.update({row[0]: row[1] | int}) -%}
    {%- endfor -%}
    {%- set notes = [] -%}
    {%- for row in run_query(
        judged ~ ' select epoch_unit, count(*) from reasons where epoch_unit is not null group by 1 order by 2 desc'
    ).rows -%}
        {%- do notes.append(
            'By their size, timestamps are counts of ' ~ row[0] ~ ' since 1970, in ' ~ row[1] | int
            ~ ' of the first rows of the source.'
        ) -%}
    {%- endfor -%}
    {%- set columns = [] -%}
    {%- for column in event_columns() -%}
        {%- do columns.append(
            "select '" ~ column.name ~ "', count(text_of_" ~ column.name ~ '), count('
            ~ ('case when ' ~ column.name ~ "_reason like '%\\_unknown' escape '\\' then null else " ~ column.value ~ ' end'
                if column.kind == 'member' else column.value)
            ~ ') from reasons'
        ) -%}
    {%- endfor -%}
    {%- set found = {} -%}
    {%- for row in run_query(judged ~ columns | join(' union all ')).rows -%}
        {%- do found.update({row[0]: {
            'type': types[row[0]], 'present': row[1] | int, 'readable': row[2] | int,
        }}) -%}
    {%- endfor -%}
    {{- return({
        'rows': run_query('select count(*) from raw_sample').rows[0][0] | int,
        'rejected': run_query(
            judged ~ ' select count(*) from reasons where coalesce('
            ~ judged_columns() | map(attribute='name') | join('_reason, ') ~ '_reason) is not null'
        ).rows[0][0] | int,
        'reasons': reasons,
        'columns': found,
        'notes': notes,
    }) -}}
{% endmacro %}

{#- The columns of an event as the base model selects them. -#}
{% macro raw_columns_of_source() %}
    {%- set columns = [] -%}
    {%- for column in raw_event_columns() -%}
        {%- do columns.append(source_column(column) ~ ' as ' ~ column) -%}
    {%- endfor -%}
    {{- return(columns) -}}
{% endmacro %}

{% macro seed_file(seed) -%}
    {%- set folder = run_query('select package_folder()').rows[0][0] -%}
    {%- set folder = modules.re.sub('([*?[])', '[\\1]', folder) -%}
    (
        select * from read_csv(
            {{ duckdb_path(folder ~ '/' ~ own_node(seed).original_file_path) }},
            header = true, all_varchar = true
        )
    )
{%- endmacro %}

{#- Stops a run when most rows would be rejected for one reason: a setting is missing, most likely. -#}
{% macro check_sample() %}
    {%- if execute and flags.WHICH in ('build', 'run') and var('events_source') != 'seed'
        and (new_files() or not source_is_files()) -%}
        {%- set sample = judge_sample() -%}
        {%- for note in (sample.notes if sample else []) -%}
            {{ log(note, info=true) }}
        {%- endfor -%}
        {%- set limit = [0.5, var('maximum_quarantined_share')] | max -%}
        {%- for reason in rejection_reasons()
            if sample and sample.reasons.get(reason.rejection_reason, 0) > limit * sample.rows -%}
            {{ exceptions.raise_compiler_error(
                'Of the first ' ~ sample.rows ~ ' rows of the source, ' ~ sample.reasons[reason.rejection_reason]
                ~ ' would be quarantined as ' ~ reason.rejection_reason ~ '. ' ~ reason.description ~ '. '
                ~ reason.hint ~ '. `ott check-source` shows what was found and proposes settings. Nothing was'
                ~ ' built.'
            ) }}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{#- For `ott check-source`: the same as a line of JSON in the log. -#}
{% macro show_sample() %}
    {{ check_events_source() }}
    {{ log('sample of the source: ' ~ tojson(judge_sample()), info=true) }}
{% endmacro %}
