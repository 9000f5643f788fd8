{#- Aggregate: text that changes when any of the rows does, whatever their order. Their number, as
    DuckDB's hash of 0 is 0, and the sum of a hash of each. -#}
{% macro checksum(columns) -%}
    concat_ws(' ', {{ as_text('count(*)') }}, {{ as_text(sum_of_hashes(columns)) }})
{%- endmacro %}

{% macro sum_of_hashes(columns) %}
    {{- return(adapter.dispatch('sum_of_hashes')(columns)) -}}
{% endmacro %}

{#- Of 64 bits each, of all columns but the last mixed with each other. Engines name their hash functions
    differently, and Spark's passes over nulls. -#}
{% macro default__sum_of_hashes(columns) -%}
    sum(cast(xxhash64(
        {%- for column in columns %}{{ column }}, {{ column }} is null{{ ', ' if not loop.last }}{% endfor -%}
    ) as decimal(38, 0)))
{%- endmacro %}

{% macro duckdb__sum_of_hashes(columns) -%}
    sum(hash({{ columns | join(', ') }}, 0))
{%- endmacro %}
