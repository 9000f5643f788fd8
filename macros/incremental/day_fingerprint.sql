{#- Number that changes when anything in the source does that decides what becomes of a day's rows. -#}
{% macro day_fingerprint(day, rows_checksum, repeated_checksum) -%}
    {{ hash_of_text(
        "concat_ws(' ', " ~ as_text(day) ~ ', ' ~ rows_checksum ~ ', ' ~ repeated_checksum ~ ')'
    ) }}
{%- endmacro %}

{#- The same of a day that a model is built from, with the rules of the model. -#}
{% macro built_fingerprint(fingerprint, rules) -%}
    {{ hash_of_text("concat_ws(' ', " ~ as_text(fingerprint) ~ ', ' ~ rules ~ ')') }}
{%- endmacro %}

{#- Aggregate over the staged rows of a day: text that changes when any of them does. -#}
{% macro rows_checksum(prefix='') -%}
    concat_ws(
        ' ',
        {{ checksum(raw_event_columns(prefix ~ 'raw_') + ([prefix ~ 'repeat_order'] if keeps_one_of_repeats() else [])) }},
        -- What lies in the future today will not tomorrow.
        {{ as_text(
            'count(*) filter (where ' ~ is_in_future(prefix ~ 'occurred_at', prefix ~ 'raw_timestamp') ~ ')'
        ) }}
    )
{%- endmacro %}
