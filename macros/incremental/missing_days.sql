{#- Query for the days that a model built day by day does not hold yet: all of them at first, later
    those that are new and those that `drop_outdated_days` has just removed. -#}
{% macro missing_days(days) -%}
    {%- set rules = "'" ~ model_rules() ~ "'" -%}
    select
        *,
        {{ rules }} as rules
    from {{ days }}
    {%- if is_incremental() %}
    where {{ built_fingerprint('fingerprint', rules) }} not in (select distinct fingerprint from {{ this }})
    {%- endif %}
{%- endmacro %}

{#- Stands for `missing_days` in what `model_rules` is made of. -#}
{% macro all_days(days) -%}
    select
        *,
        '' as rules
    from {{ days }}
{%- endmacro %}
