{#- What the raw events are selected from, by the var `events_source`: the seed, a table of another
    database, or what the project's reader of files and queries gives. -#}
{% macro raw_events() %}
    {%- set events_source = var('events_source') -%}
    {%- if events_source == 'seed' -%}
        {{- return(ref('raw_compliance_events')) -}}
    {%- elif is_table(events_source) -%}
        {%- do attach_database(events_source.database, 'ott_events_source') -%}
        {{- return(source('platform', 'compliance_events')) -}}
    {%- else -%}
        {{- return(read_events()) -}}
    {%- endif -%}
{% endmacro %}

{% macro is_table(events_source) %}
    {{- return(events_source is mapping and 'sql' not in events_source) -}}
{% endmacro %}

{#- What each column of an event is in the source, by the vars `events_columns` and `events_preset`: a
    name, `{sql: ...}`, or `absent`. -#}
{% macro source_of_columns() %}
    {%- set told = {} -%}
    {%- do told.update(events_preset().get('columns', {})) -%}
    {%- do told.update(var('events_columns')) -%}
    {%- set sources = {} -%}
    {%- for column in event_columns() -%}
        {%- set source = told.get(column.name, column.get('source', column.name)) -%}
        {%- do sources.update({column.name: 'absent' if source is none else source}) -%}
    {%- endfor -%}
    {{- return(sources) -}}
{% endmacro %}

{#- The names that columns have in the source, those of SQL and absent ones left out. -#}
{% macro source_columns() %}
    {{- return(source_of_columns().values() | select('string') | reject('equalto', 'absent') | list) -}}
{% endmacro %}

{% macro source_column(column) -%}
    {%- set source = source_of_columns()[column] -%}
    {%- if source is mapping -%}
        {{ source.sql }}
    {%- elif source == 'absent' -%}
        cast(null as {{ dbt.type_string() }})
    {%- else -%}
        {{ quoted_name(source) }}
    {%- endif -%}
{%- endmacro %}

{% macro quoted_name(name) -%}
    {{ adapter.quote(name.replace('"', '""')) }}
{%- endmacro %}

{#- Whether the project itself reads files, and knows of each row from which. -#}
{% macro source_is_files() %}
    {{- return(
        target.type == 'duckdb' and var('events_source') is not mapping and var('events_source') != 'seed'
    ) -}}
{% endmacro %}

{#- The files of the source that no build has read as they are. -#}
{% macro new_files() %}
    {{- return(event_source().files | selectattr('is_new') | list if source_is_files() else []) -}}
{% endmacro %}
