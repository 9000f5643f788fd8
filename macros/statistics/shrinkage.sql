{#- CTEs that end in `shrinkage`, one row: the overall rate, and the correlation of two events of one
    user by the method of moments (Kleinman, 1973), zero where the users' rates vary no more than
    chance. `users` needs the columns events, violation_events and violation_rate. -#}
{% macro shrinkage_ctes(users) -%}
user_moments as (
    select
        count(*) as users,
        cast(sum(events) as double) as events,
        sum(cast(events as double) * events) as squared_events,
        {{ ratio('sum(violation_events)', 'sum(events)') }} as overall_rate,
        -- Sum of events (rate - overall rate)^2, written out so that one pass is enough.
        {{ exact_sum('violation_events * violation_rate') }}
        - {{ ratio('sum(violation_events)', 'sum(events)') }} * sum(violation_events) as spread
    from {{ users }}
),

shrinkage as (
    select
        overall_rate,
        greatest(0.0, least(1.0, coalesce(
            (spread / nullif(overall_rate * (1 - overall_rate), 0) - (users - 1))
            / nullif(events - squared_events / events - (users - 1), 0),
            0.0
        ))) as user_correlation
    from user_moments
)
{%- endmacro %}

{#- Posterior mean of a rate under the beta-binomial model with the moments in `shrinkage`: never
    below zero, nor above one. -#}
{% macro shrunk_rate(rate, events) -%}
    (
        shrinkage.overall_rate * (1 - shrinkage.user_correlation)
        + {{ rate }} * {{ events }} * shrinkage.user_correlation
    ) / (1 + ({{ events }} - 1) * shrinkage.user_correlation)
{%- endmacro %}
