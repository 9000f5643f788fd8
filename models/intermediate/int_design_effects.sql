with member_counts as (
    select * from {{ ref('int_member_counts') }}
),

user_counts as (
    select * from {{ ref('int_user_member_counts') }}
),

-- How far a user's violations in a member lie from those that the member's rate would give.
residuals as (
    select
        user_counts.dimension,
        user_counts.member,
        user_counts.user_id,
        cast(user_counts.events as double) as events,
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

-- Per event, and corrected for the rate being estimated from the same few or unequal users.
member_variances as (
    select
        dimension,
        member,
        {{ clustered_variance('residual', 'events') }} as variance
    from residuals
    group by dimension, member
),

user_residuals as (
    select
        dimension,
        user_id,
        sum(residual) as residual,
        sum(events) as events
    from residuals
    group by dimension, user_id
),

overall_variances as (
    select
        dimension,
        {{ clustered_variance('residual', 'events') }} as variance
    from user_residuals
    group by dimension
),

dimension_totals as (
    select
        member_counts.dimension,
        count(*) as members,
        {{ ratio('sum(member_counts.violation_events)', 'sum(member_counts.events)') }}
            as violation_rate,
        -- A member of a single user tells nothing of how users vary; it counts as the others do.
        avg(member_variances.variance) as mean_member_variance
    from member_counts
    inner join member_variances
        on
            member_counts.dimension = member_variances.dimension
            and member_counts.member = member_variances.member
    group by member_counts.dimension
),

-- Mean generalised design effect of the differences between members (Rao and Scott, 1981): their
-- variance with users as clusters, over the one of independent events.
design_effects as (
    select
        dimension_totals.dimension,
        greatest(1.0, coalesce(
            (
                dimension_totals.members * dimension_totals.mean_member_variance
                - overall_variances.variance
            )
            / nullif(
                (dimension_totals.members - 1)
                * dimension_totals.violation_rate
                * (1 - dimension_totals.violation_rate),
                0
            ),
            1.0
        )) as design_effect
    from dimension_totals
    inner join overall_variances on dimension_totals.dimension = overall_variances.dimension
)

select * from design_effects
