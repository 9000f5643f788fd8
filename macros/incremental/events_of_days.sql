{#- Query for the accepted events of the days in the CTE `days`. -#}
{% macro events_of_days() -%}
    select events.*
    from {{ ref('int_accepted_events') }} as events
    inner join days on events.event_date = days.event_date
{%- endmacro %}
