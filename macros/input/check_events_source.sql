{#- Says in a sentence what is wrong with the source of the events before anything is built. -#}
{% macro check_events_source() %}
    {%- if execute -%}
        {%- set events_source = var('events_source') -%}
        {%- for setting in ('events_columns', 'required_columns') -%}
            {%- set unknown = var(setting) | reject('in', raw_event_columns()) | list -%}
            {%- if unknown -%}
                {{ exceptions.raise_compiler_error(
                    'The var ' ~ setting ~ ' names ' ~ unknown | join(', ') ~ ', which is no column of an event.'
                    ~ ' These are: ' ~ raw_event_columns() | join(', ') ~ '.'
                ) }}
            {%- endif -%}
        {%- endfor -%}
        {%- set identity = var('events_identity') -%}
        {%- for setting, value, possible in [
            ('events_preset', var('events_preset'), ['none'] + event_presets().keys() | list),
            ('event_id_type', var('event_id_type'), ['bigint', 'varchar']),
            ('user_id_type', var('user_id_type'), ['bigint', 'varchar']),
            ('repeated_events', var('repeated_events').get('keep'), ['reject', 'latest', 'first']),
            ('looks', var('looks'), ['daily', 'single']),
            ('find_changed_files_by', var('find_changed_files_by'), ['time', 'content']),
        ] if value not in possible -%}
            {{ exceptions.raise_compiler_error(
                'The var ' ~ setting ~ ' is ' ~ value ~ '. It can be ' ~ possible | join(', ') ~ '.'
            ) }}
        {%- endfor -%}
        {%- for column in (identity if identity is not string and identity else [])
            if column not in raw_event_columns() -%}
            {{ exceptions.raise_compiler_error(
                'The var events_identity names ' ~ column ~ ', which is no column of an event. These are: '
                ~ raw_event_columns() | join(', ') ~ '.'
            ) }}
        {%- endfor -%}
        {%- if target.type == 'duckdb' and not run_query(
            "select count(*) from pg_timezone_names() where name = '" ~ var('events_time_zone') ~ "'"
        ).rows[0][0] -%}
            {{ exceptions.raise_compiler_error(
                'The var events_time_zone is ' ~ var('events_time_zone') ~ ', which is no zone that DuckDB knows.'
                ~ ' Name one as in Europe/Berlin.'
            ) }}
        {%- endif -%}
        {%- set own_columns = event_columns() | rejectattr('kind', 'equalto', 'attribute') | list -%}
        {%- set taken = own_columns | map(attribute='name') | list + own_columns | map(attribute='value') | list
            + dimensions() | rejectattr('is_further') | map(attribute='dimension') | list
            + ['source_date', 'fingerprint', 'copies', 'versions', 'superseded', 'is_violation'] -%}
        {%- if target.type == 'duckdb' and var('events_dimensions') -%}
            {%- set taken = taken + run_query(
                "select keyword_name from duckdb_keywords() where keyword_category <> 'unreserved'"
            ).columns[0].values() | list -%}
        {%- endif -%}
        {%- for name in var('events_dimensions')
            if not modules.re.fullmatch('[a-z][a-z0-9_]*', name) or name in taken -%}
            {{ exceptions.raise_compiler_error(
                'The var events_dimensions names ' ~ name ~ '. A name has small letters, digits and underscores,'
                ~ ' and is no word of SQL nor that of a column of an event: call it ' ~ name | lower ~ '_of_platform, for'
                ~ ' example.'
            ) }}
        {%- endfor -%}
        {%- if is_table(events_source) -%}
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
        {%- endif -%}
        {{ adapter.dispatch('check_source')() }}
    {%- endif -%}
{% endmacro %}

{% macro default__check_source() %}
{% endmacro %}

{% macro duckdb__check_source() %}
    {%- do event_source(checked=true) -%}
{% endmacro %}

{#- Spark itself says when no file matches. -#}
{% macro spark__check_source() %}
    {%- if var('events_source') is string and var('events_source') != 'seed' -%}
        {{ check_event_files(var('events_source')) }}
    {%- elif is_table(var('events_source')) -%}
        {{ require_columns(raw_events(), source_columns()) }}
    {%- endif -%}
{% endmacro %}

{#- Reading many footers takes long on Spark, so only files with a null are asked for their columns:
    read together, one that lacks a column has nulls there. -#}
{% macro check_event_files(path) %}
    {%- set files = read_files(path) -%}
    {{ require_file_columns(path, spark_columns(files)) }}
    {%- if file_format(path) == 'parquet' -%}
        {%- set conditions = [] -%}
        {%- for column in source_columns() -%}
            {%- do conditions.append(quoted_name(column) ~ ' is null') -%}
        {%- endfor -%}
        {#- Spark writes the blanks of a path as %20. -#}
        {%- set suspects = run_query(
            "select distinct url_decode(replace(_metadata.file_path, '+', '%2B')) from " ~ files
            ~ ' where ' ~ conditions | join(' or ')
        ).columns[0].values() -%}
        {%- for file in suspects | sort -%}
            {{ require_file_columns(file, spark_columns('parquet.' ~ adapter.quote(file))) }}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{% macro spark_columns(files) %}
    {{- return(run_query('describe query select * from ' ~ files).columns[0].values() | list) -}}
{% endmacro %}

{#- Stops the run when there are source columns that a file does not have. -#}
{% macro require_file_columns(file, found) %}
    {%- set known = found | map('lower') | list -%}
    {%- set missing = [] -%}
    {%- for column in source_columns() if column | lower not in known -%}
        {%- do missing.append(column) -%}
    {%- endfor -%}
    {%- if missing -%}
        {{ exceptions.raise_compiler_error(
            'The events file ' ~ file ~ ' lacks the column(s) ' ~ missing | join(', ') ~ '. It has: '
            ~ found | join(', ') ~ '. Add them, or say in the var events_columns what they are called there, or'
            ~ ' `absent` if the platform has no such thing.'
        ) }}
    {%- endif -%}
{% endmacro %}
