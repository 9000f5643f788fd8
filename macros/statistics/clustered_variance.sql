{#- The variance of an event with users as clusters, from the sums over users of their squared
    residuals, of their events and of the squares of these. The residuals sum to zero, which makes
    their squares too small by the share that a user has of the events on average; null for a single
    user. -#}
{% macro clustered_variance(squared_residuals, events, squared_events) -%}
    {{ squared_residuals }} / {{ events }}
    / nullif(1 - {{ squared_events }} / ({{ events }} * {{ events }}), 0)
{%- endmacro %}

{#- The sum over users of (violations - events * rate)^2, multiplied out, so that no user is looked
    at twice. -#}
{% macro residuals_of_sums(rate, squared_violations, products, squared_events) -%}
    (
        {{ squared_violations }}
        - 2 * ({{ rate }}) * {{ products }}
        + ({{ rate }}) * ({{ rate }}) * {{ squared_events }}
    )
{%- endmacro %}

{#- Aggregate over users: the same at the rate of all of them. -#}
{% macro squared_residuals(violations, events) -%}
    {{ residuals_of_sums(
        'sum(' ~ violations ~ ') / sum(' ~ events ~ ')',
        'sum(' ~ violations ~ ' * ' ~ violations ~ ')',
        'sum(' ~ violations ~ ' * ' ~ events ~ ')',
        'sum(' ~ events ~ ' * ' ~ events ~ ')'
    ) }}
{%- endmacro %}

{#- Aggregate over users: the sum of a product of two counts of events. Events without a user stand
    in one row, though each is a cluster of its own, whose counts are 0 or 1. -#}
{% macro sum_over_clusters(count, other) -%}
    sum({{ count }} * {% if may_be_missing('user_id') -%}
        case when user_id is null then 1 else {{ other }} end
    {%- else %}{{ other }}{% endif %})
{%- endmacro %}
