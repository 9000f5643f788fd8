{#- Number that changes when anything in the source does that decides what becomes of a day's rows. -#}
{% macro day_fingerprint(day, rows_checksum, repeated_checksum) -%}
    {{ hash_of_text(
        "concat_ws(' ', " ~ as_text(day) ~ ', ' ~ rows_checksum ~ ', ' ~ repeated_checksum
        ~ ", '" ~ rules_of_repeats() ~ "')"
    ) }}
{%- endmacro %}

{#- Aggregate over repeated events of a day: text that changes when any of them does. -#}
{% macro repeated_checksum() -%}
    {{ checksum(staged_event_columns() + ['copies', 'versions', 'superseded', 'is_kept']) }}
{%- endmacro %}

{#- Fingerprint of all that decides which events are repeated, but for the rows. -#}
{% macro rules_of_repeats() %}
    {%- set rules = [] -%}
    {%- if execute and model.unique_id in graph.nodes -%}
        {%- set models = [own_node('int_ids_to_compare'), own_node('int_repeated_events')] -%}
        {%- do rules.extend(models | map(attribute='raw_code')) -%}
        {%- do rules.extend([content_columns(), staged_event_columns(), var('repeated_events')]) -%}
        {%- do rules.extend(rules_of_parents(models[0].unique_id)) -%}
    {%- endif -%}
    {{- return(local_md5(tojson(rules))) -}}
{% endmacro %}

{#- The same of a day that a model is built from, with the rules of the model. -#}
{% macro built_fingerprint(fingerprint, rules) -%}
    {{ hash_of_text("concat_ws(' ', " ~ as_text(fingerprint) ~ ', ' ~ rules ~ ')') }}
{%- endmacro %}

{#- Text that changes when any row of a day does: their number, the sum of their hashes, and how many lie
    in the future, as these will not tomorrow. -#}
{% macro rows_checksum(rows, sum_of_hashes, future_rows) -%}
    concat_ws(' ', {{ as_text(rows) }}, {{ as_text(sum_of_hashes) }}, {{ as_text(future_rows) }})
{%- endmacro %}

{#- Aggregate over staged rows: the sum of their hashes. -#}
{% macro sum_of_row_hashes(prefix='') -%}
    {{ sum_of_hashes(
        raw_event_columns(prefix ~ 'raw_') + ([prefix ~ 'repeat_order'] if keeps_one_of_repeats() else [])
    ) }}
{%- endmacro %}

{#- Aggregate over staged rows: how many lie in the future. -#}
{% macro count_future_rows(prefix='') -%}
    count(*) filter (where {{ is_in_future(prefix ~ 'occurred_at', prefix ~ 'raw_timestamp') }})
{%- endmacro %}
