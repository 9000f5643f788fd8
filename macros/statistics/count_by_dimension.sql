{#- Query for the events and violations of each member of each tested dimension, `also_by` a further
    column if wanted. -#}
{% macro count_by_dimension(events, also_by=none) -%}
    {%- set more = ', ' ~ also_by if also_by else '' -%}
    {%- for dimension, member in tested_dimensions().items() %}
    select
        '{{ dimension }}' as dimension,
        {{ member }} as member{{ more }},
        count(*) as events,
        count(*) filter (where is_violation) as violation_events
    from {{ events }}
    group by {{ member }}{{ more }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
