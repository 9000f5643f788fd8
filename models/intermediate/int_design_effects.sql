with events as (
    select * from {{ ref('int_accepted_events') }}
),

member_counts as (
    select * from {{ ref('int_violation_counts') }}
),

user_counts as (
    {{ count_by_dimension('events', also_by='user_id') }}
),

-- How far a user's violations in a member lie from those that the member's rate would give.
residuals as (
    select
        user_counts.dimension,
        user_counts.user_id,
        member_counts.events as member_events,
        user_counts.violation_events
        - user_counts.events * {{ ratio('member_counts.violation_events', 'member_counts.events') }}
            as residual
    from user_counts
    inner join member_counts
        on
            user_counts.dimension = member_counts.dimension
            and user_counts.member = member_counts.member
),

user_residuals as (
    select
        dimension,
        sum(residual) as residual,
        sum(residual * residual / member_events) as weighted_square
    from residuals
    group by dimension, user_id
),

dimension_totals as (
    select
        dimension,
        count(*) as members,
        sum(events) as events,
        {{ ratio('sum(violation_events)', 'sum(events)') }} as violation_rate
    from member_counts
    group by dimension
),

clustered as (
    select
        dimension,
        count(*) as users,
        sum(weighted_square) as between_members,
        sum(residual * residual) as overall
    from user_residuals
    group by dimension
),

-- Mean generalised design effect of the differences between members (Rao and Scott, 1981): their
-- variance with users as clusters, over the one of independent events.
design_effects as (
    select
        dimension_totals.dimension,
        greatest(1.0, coalesce(
            {{ ratio('clustered.users', 'clustered.users - 1') }}
            * (clustered.between_members - clustered.overall / dimension_totals.events)
            / nullif(
                (dimension_totals.members - 1)
                * dimension_totals.violation_rate
                * (1 - dimension_totals.violation_rate),
                0
            ),
            1.0
        )) as design_effect
    from dimension_totals
    inner join clustered on dimension_totals.dimension = clustered.dimension
)

select * from design_effects
