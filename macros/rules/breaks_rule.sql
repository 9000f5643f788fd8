{#- The first reason of a column that applies to a row of `events`; null if none does. -#}
{% macro first_reason(column) -%}
    case
        {%- for rule in rules_of(column) %}
            when {{ breaks_rule(column, rule) }} then '{{ reason_code(column, rule) }}'
        {%- endfor %}
    end
{%- endmacro %}

{#- Condition under which a row of `events` breaks a rule of a column, by the kind of the rule. A value
    that is null has been looked at before, as missing or unreadable, if the column is required. -#}
{% macro breaks_rule(column, rule) -%}
    {%- set value = 'events.' ~ column.value -%}
    {%- set raw_value = 'events.raw_' ~ column.name -%}
    {%- if rule.condition == 'missing' and column.kind == 'member' -%}
        {{ value }} is null
    {%- elif rule.condition == 'missing' -%}
        {{ value }} is null and {{ read_text(raw_value) }} is null
    {%- elif rule.condition == 'unreadable' -%}
        {{ value }} is null
        {{- ' and ' ~ read_text(raw_value) ~ ' is not null' if not column.is_required }}
    {%- elif rule.condition == 'unknown' -%}
        {{ column.seed }}.{{ column.name }} is null
        {{- ' and ' ~ value ~ ' is not null' if not column.is_required }}
    {%- elif rule.condition == 'conflicting' -%}
        events.versions > 1
    {%- elif rule.condition == 'future' -%}
        {{ is_in_future(value, raw_value) }}
    {%- else -%}
        {{ lies_beyond(value, rule) }}
    {%- endif -%}
{%- endmacro %}

{#- The same of rules that the value alone can break. -#}
{% macro lies_beyond(value, rule) -%}
    {%- if rule.condition == 'early' -%}
        {{ value }} < {{ earliest_timestamp() }}
    {%- elif rule.condition == 'future' -%}
        {{ value }} > {{ latest_timestamp() }}
    {%- elif rule.condition == 'below' -%}
        {{ value }} < {{ rule.bounds[0] }}
    {%- elif rule.condition == 'above' -%}
        {{ value }} > {{ rule.bounds[0] }}
    {%- elif rule.condition == 'outside' -%}
        {{ value }} < {{ rule.bounds[0] }} or {{ value }} > {{ rule.bounds[1] }}
    {%- elif rule.condition == 'infinite' -%}
        {#- nan counts as larger than infinity on every engine. -#}
        {{ value }} >= cast('infinity' as double) or {{ value }} <= cast('-infinity' as double)
    {%- endif -%}
{%- endmacro %}
