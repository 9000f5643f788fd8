{#- What the var `events_source` names: the seed, a table of another database, or files. -#}
{% macro raw_events() %}
    {%- set events_source = var('events_source') -%}
    {%- if events_source == 'seed' -%}
        {{- return(ref('raw_compliance_events')) -}}
    {%- elif events_source is mapping -%}
        {%- do attach_database(events_source.database, 'ott_events_source') -%}
        {{- return(source('platform', 'compliance_events')) -}}
    {%- else -%}
        {{- return(read_files(events_source)) -}}
    {%- endif -%}
{% endmacro %}

{#- Names that the columns of an event have in the source, in the order of `raw_event_columns`. -#}
{% macro source_columns() %}
    {%- set names = [] -%}
    {%- for column in raw_event_columns() -%}
        {%- do names.append(var('events_columns').get(column, column)) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}

{% macro source_column(column) -%}
    {{ quoted_name(var('events_columns').get(column, column)) }}
{%- endmacro %}

{% macro quoted_name(name) -%}
    {{ adapter.quote(name.replace('"', '""')) }}
{%- endmacro %}
