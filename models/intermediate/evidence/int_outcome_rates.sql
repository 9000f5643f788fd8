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
            users.effective_users,
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
            effective_users,
            {{ outcome }}_variance as variance
        from tier_counts
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- How many independent events would tell as much as these (Kish, 1965): by how the users of the member
-- vary, or those of the dimension if that is more. A few users cannot tell well how they vary.
effective as (
    select
        members.*,
        members.dimension || ' / ' || members.member || ' / ' || members.outcome as test_key,
        {{ ratio('members.outcome_events', 'members.events') }} as outcome_rate,
        greatest(1.0, members.effective_users - 1) as degrees_of_freedom,
        {{ confidence_z }} as z
    from members
),

weighed as (
    select
        effective.*,
        effective.events / greatest(
            1.0,
            coalesce(design_effects.design_effect, 1.0),
            coalesce(
                effective.variance
                / nullif(effective.outcome_rate * (1 - effective.outcome_rate), 0),
                1.0
            )
        ) as effective_events
    from effective
    left join design_effects
        on
            effective.dimension = design_effects.dimension
            and effective.outcome = design_effects.outcome
),

{{ beta_node_ctes() }},

{{ student_quantile_ctes('weighed') }},

bounded as (
    select
        weighed.*,
        weighed.outcome_rate * weighed.effective_events as effective_outcome_events,
        student_quantiles.quantile
    from weighed
    inner join student_quantiles on weighed.test_key = student_quantiles.test_key
),

-- The score interval at these numbers, with Student's t (Korn and Graubard, 1998).
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
    from bounded
)

select * from rates
