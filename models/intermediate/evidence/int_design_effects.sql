with member_counts as (
    select * from {{ ref('int_member_counts') }}
),

member_users as (
    select * from {{ ref('int_member_users') }}
),

dimension_totals as (
    select
        member_counts.dimension,
        count(*) as members,
        {{ ratio('sum(member_counts.violation_events)', 'sum(member_counts.events)') }}
            as violation_rate,
        -- A member of a single user tells nothing of how users vary; it counts as the others do.
        avg(member_users.variance) as mean_member_variance,
        max(member_users.dimension_variance) as dimension_variance
    from member_counts
    inner join member_users
        on
            member_counts.dimension = member_users.dimension
            and member_counts.member = member_users.member
    where not {{ is_unknown_member('member_counts.member') }}
    group by member_counts.dimension
),

-- Mean generalised design effect of the differences between members (Rao and Scott, 1981): their
-- variance with users as clusters, over the one of independent events.
design_effects as (
    select
        dimension,
        greatest(1.0, coalesce(
            (members * mean_member_variance - dimension_variance)
            / nullif((members - 1) * violation_rate * (1 - violation_rate), 0),
            1.0
        )) as design_effect
    from dimension_totals
)

select * from design_effects
