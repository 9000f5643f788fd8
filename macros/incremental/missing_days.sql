{#- Query for the days that a model built day by day does not hold yet: all of them at first, later
    those that are new and those that `drop_outdated_days` has just removed. -#}
{% macro missing_days(days) -%}
    select * from {{ days }}
    {%- if is_incremental() %}
    where fingerprint not in (select distinct fingerprint from {{ this }})
    {%- endif %}
{%- endmacro %}
