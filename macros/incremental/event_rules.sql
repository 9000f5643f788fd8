{#- Fingerprint of all that decides what becomes of a raw row, but for the known members: vars, the types
    of the raw columns (hashes are of stored values: those of true and 1 are the same), readers and
    models. When it changes, every day is built anew. -#}
{% macro event_rules() %}
    {%- set rules = [
        var('events_columns'),
        earliest_timestamp(), var('latest_timestamp') | string,
        var('minimum_user_age'), var('maximum_user_age'), var('maximum_session_duration_minutes'),
        read_text('x'), as_text('x'), tested_dimensions(),
    ] -%}
    {%- for kind in [none, 'integer', 'float', 'double', 'decimal', 'timestamp'] -%}
        {%- do rules.extend([read_integer('x', kind), read_number('x', kind), read_timestamp('x', kind)]) -%}
    {%- endfor -%}
    {%- set events = ref('stg_compliance_events') -%}
    {%- do rules.append(column_types(events)) -%}
    {%- set existing = load_relation(events) if execute and events.schema -%}
    {%- for column in (adapter.get_columns_in_relation(existing) if existing else []) -%}
        {%- do rules.append(column.name ~ ' ' ~ column.dtype) -%}
    {%- endfor -%}
    {%- for node in (graph.nodes or {}).values() | sort(attribute='name')
        if node.resource_type == 'model' and node.fqn[1] in ('staging', 'intermediate') -%}
        {%- do rules.append(node.checksum.checksum) -%}
    {%- endfor -%}
    {{- return(local_md5(tojson(rules))) -}}
{% endmacro %}
