{#- Aggregate over users: the variance of an event with users as clusters, from the sum of their
    squared residuals. The residuals sum to zero, which makes their squares too small by the share that
    a user has of the events on average; null for a single user. -#}
{% macro clustered_variance(squared_residuals, events) -%}
    {{ squared_residuals }} / sum({{ events }})
    / nullif(1 - sum({{ events }} * {{ events }}) / (sum({{ events }}) * sum({{ events }})), 0)
{%- endmacro %}

{#- Aggregate over users: the sum of (violations - events * rate)^2 at the rate of all of them,
    multiplied out, so that no user is looked at twice. -#}
{% macro squared_residuals(violations, events) -%}
    {%- set rate = '(sum(' ~ violations ~ ') / sum(' ~ events ~ '))' -%}
    (
        sum({{ violations }} * {{ violations }})
        - 2 * {{ rate }} * sum({{ violations }} * {{ events }})
        + {{ rate }} * {{ rate }} * sum({{ events }} * {{ events }})
    )
{%- endmacro %}
