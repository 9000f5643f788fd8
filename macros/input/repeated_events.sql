{#- Whether one row of a repeated event is kept, by the var `repeated_events`. -#}
{% macro keeps_one_of_repeats() %}
    {{- return(var('repeated_events').keep != 'reject') -}}
{% endmacro %}

{#- What the rows of an event are ordered by, as SQL over the source's columns. -#}
{% macro order_of_repeats() %}
    {%- set by = var('repeated_events').get('by') -%}
    {%- if by is mapping -%}
        {{- return(by.sql) -}}
    {%- elif by in raw_event_columns() -%}
        {{- return(source_column(by)) -}}
    {%- endif -%}
    {{- return(quoted_name(by or 'ott_file_order')) -}}
{% endmacro %}

{#- Whether the id of an event is made of other columns, by the var `events_identity`. -#}
{% macro identity_columns() %}
    {%- set identity = var('events_identity') -%}
    {%- if identity in ('none', none) or (identity == ['event_id'] and column_named('event_id').is_absent) -%}
        {{- return(raw_event_columns() | reject('equalto', 'event_id') | list) -}}
    {%- elif identity == ['event_id'] -%}
        {{- return([]) -}}
    {%- endif -%}
    {{- return(identity) -}}
{% endmacro %}

{#- An id from what was read of columns of a row: the same for the same values. -#}
{% macro made_identifier(relation, types) -%}
    {%- set parts = [] -%}
    {%- for column in event_columns() if column.name in identity_columns() -%}
        {%- set value = read_text(relation ~ '.event_id') if column.name == 'event_id'
            else as_text(read_column(column, relation, types)) -%}
        {%- do parts.append('coalesce(' ~ value ~ ", '')") -%}
    {%- endfor -%}
    {%- set text = parts | join(" || '|' || ") -%}
    {%- if column_named('event_id').type == 'varchar' -%}
        md5({{ text }})
    {%- else -%}
        cast({{ hash_of_text(text) }} % 9223372036854775807 as bigint)
    {%- endif -%}
{%- endmacro %}
