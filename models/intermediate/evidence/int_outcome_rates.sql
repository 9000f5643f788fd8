{% set confidence_z = confidence_z() %}

with member_counts as (
    select * from {{ ref('int_member_counts') }}
),

member_users as (
    select * from {{ ref('int_member_users') }}
),

tier_counts as (
    select * from {{ ref('int_tier_counts') }}
),

design_effects as (
    select * from {{ ref('int_design_effects') }}
),

members as (
    {%- for outcome in outcomes() %}
        select
            counts.dimension,
            counts.member,
            '{{ outcome }}' as outcome,
            counts.events,
            counts.{{ outcome }}_events as outcome_events,
            users.{{ outcome }}_variance as variance
        from member_counts as counts
        inner join member_users as users
            on counts.dimension = users.dimension and counts.member = users.member

        union all

        select
            'risk_tier' as dimension,
            member,
            '{{ outcome }}' as outcome,
            events,
            {{ outcome }}_events as outcome_events,
            {{ outcome }}_variance as variance
        from tier_counts
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

levels as (
    select
        dimension || ' / ' || outcome as test_key,
        denominator_degrees as degrees_of_freedom,
        {{ confidence_z }} as z
    from design_effects
    where denominator_degrees is not null
),

{{ beta_node_ctes() }},

{{ student_quantile_ctes('levels') }},

rated as (
    select
        *,
        {{ ratio('outcome_events', 'events') }} as outcome_rate
    from members
),

-- How many independent events would tell as much as these (Kish, 1965): by how the users of the
-- member vary, or those of the dimension if that is more.
effective as (
    select
        rated.*,
        rated.events / greatest(
            1.0,
            coalesce(design_effects.design_effect, 1.0),
            coalesce(rated.variance / nullif(rated.outcome_rate * (1 - rated.outcome_rate), 0), 1.0)
        ) as effective_events,
        coalesce(student_quantiles.quantile, {{ confidence_z }}) as quantile
    from rated
    left join design_effects
        on rated.dimension = design_effects.dimension and rated.outcome = design_effects.outcome
    left join student_quantiles
        on rated.dimension || ' / ' || rated.outcome = student_quantiles.test_key
),

successes as (
    select
        *,
        outcome_rate * effective_events as effective_outcome_events
    from effective
),

-- The score interval at these numbers, with Student's t for the users (Korn and Graubard, 1998).
rates as (
    select
        dimension,
        member,
        outcome,
        effective_events,
        outcome_rate,
        {{ wilson_low('effective_outcome_events', 'effective_events', 'quantile') }}
            as outcome_rate_low,
        {{ wilson_high('effective_outcome_events', 'effective_events', 'quantile') }}
            as outcome_rate_high
    from successes
)

select * from rates
