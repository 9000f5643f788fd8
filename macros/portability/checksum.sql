{% macro checksum(columns) %}
    {{- return(adapter.dispatch('checksum')(columns)) -}}
{% endmacro %}

{#- Aggregate: text that changes when any of the rows does, whatever their order: the sum of a 64-bit
    hash of each. Engines name their hash functions differently. -#}
{% macro default__checksum(columns) -%}
    cast(sum(cast(xxhash64({{ columns | join(', ') }}) as decimal(38, 0))) as {{ dbt.type_string() }})
{%- endmacro %}

{% macro duckdb__checksum(columns) -%}
    cast(sum(hash({{ columns | join(', ') }})) as {{ dbt.type_string() }})
{%- endmacro %}
