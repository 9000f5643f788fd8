{% macro checksum(columns) %}
    {{- return(adapter.dispatch('checksum')(columns)) -}}
{% endmacro %}

{#- Aggregate: text that changes when any of the rows does, whatever their order: their number (DuckDB's
    hash of 0 is 0) and the sum of a 64-bit hash of each (which mixes all columns but the last). Engines name their hash functions
    differently, and Spark's passes over nulls. -#}
{% macro default__checksum(columns) -%}
    concat_ws(' ', {{ as_text('count(*)') }}, cast(sum(cast(xxhash64(
        {%- for column in columns %}{{ column }}, {{ column }} is null{{ ', ' if not loop.last }}{% endfor -%}
    ) as decimal(38, 0))) as {{ dbt.type_string() }}))
{%- endmacro %}

{% macro duckdb__checksum(columns) -%}
    concat_ws(' ', count(*), sum(hash({{ columns | join(', ') }}, 0)))
{%- endmacro %}
