with daily_counts as (
    select * from {{ ref('int_daily_member_counts') }}
),

further_members as (
    select * from {{ ref('int_further_members') }}
),

users as (
    select * from {{ ref('int_member_users') }}
),

counts as (
    select
        daily_counts.dimension,
        coalesce(further_members.member, daily_counts.member) as member,
        cast(sum(daily_counts.events) as bigint) as events,
        cast(sum(daily_counts.compliant_events) as bigint) as compliant_events,
        cast(sum(daily_counts.warning_events) as bigint) as warning_events,
        cast(sum(daily_counts.violation_events) as bigint) as violation_events
    from daily_counts
    left join further_members
        on
            daily_counts.dimension = further_members.dimension
            and daily_counts.member = further_members.raw_value
    group by daily_counts.dimension, coalesce(further_members.member, daily_counts.member)
),

members as (
    select
        counts.dimension,
        counts.member,
        counts.events,
        counts.compliant_events,
        counts.warning_events,
        counts.violation_events,
        users.users
    from counts
    inner join users on counts.dimension = users.dimension and counts.member = users.member
)

select * from members
