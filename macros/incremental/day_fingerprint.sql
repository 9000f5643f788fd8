{#- Aggregate over the staged rows of a day, `events`: text that changes when anything does that decides
    what becomes of them. -#}
{% macro day_fingerprint(members_checksum) -%}
    md5(concat_ws(
        ' ',
        {{ as_text('events.source_date') }},
        {{ checksum(raw_event_columns('events.raw_')) }},
        -- What lies in the future today will not tomorrow.
        {{ as_text('count(*) filter (where events.occurred_at > ' ~ latest_timestamp() ~ ')') }},
        {{ members_checksum }},
        '{{ event_rules() }}'
    ))
{%- endmacro %}
