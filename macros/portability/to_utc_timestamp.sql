{% macro to_utc_timestamp(text) %}
    {{- return(adapter.dispatch('to_utc_timestamp')(text)) -}}
{% endmacro %}

{#- Text with a zone offset is moved to UTC, text without one is UTC (the session's zone is). -#}
{% macro default__to_utc_timestamp(text) -%}
    {{ dbt.safe_cast(text, 'timestamp') }}
{%- endmacro %}

{#- DuckDB's plain `timestamp` drops the offset unread, so the text goes through `timestamptz`. -#}
{% macro duckdb__to_utc_timestamp(text) -%}
    cast({{ dbt.safe_cast(text, 'timestamptz') }} as timestamp)
{%- endmacro %}
