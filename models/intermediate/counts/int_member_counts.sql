with daily_counts as (
    select * from {{ ref('int_daily_member_counts') }}
),

users as (
    select * from {{ ref('int_member_users') }}
),

counts as (
    select
        dimension,
        member,
        cast(sum(events) as bigint) as events,
        cast(sum(compliant_events) as bigint) as compliant_events,
        cast(sum(warning_events) as bigint) as warning_events,
        cast(sum(violation_events) as bigint) as violation_events
    from daily_counts
    group by dimension, member
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
