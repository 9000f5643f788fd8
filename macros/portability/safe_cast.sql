{#- dbt-duckdb has no version of its own, and dbt's default is a plain cast, which one bad value
    stops. `dbt.safe_cast` finds this one. -#}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}

{#- dbt-spark's version is from the time before Spark 4, whose plain cast is strict as well. -#}
{% macro spark__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}
