{#- Aggregate over the rows of one metric in `int_value_counts`: the quantile that `percentile_cont`
    would give for the single values, without having them: between the two values next to its place,
    in proportion. -#}
{% macro quantile_of_counts(quantile) -%}
    {%- set place = '(' ~ quantile ~ ' * (events_of_metric - 1))' -%}
    min(case when events_up_to_value > floor({{ place }}) then metric_value end)
    + (
        min(case when events_up_to_value > ceil({{ place }}) then metric_value end)
        - min(case when events_up_to_value > floor({{ place }}) then metric_value end)
    ) * max({{ place }} - floor({{ place }}))
{%- endmacro %}
