with strata as (
    select * from {{ ref('int_member_strata') }}
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
        cast(sum(violation_events) as bigint) as violation_events,
        cast(sum(usual_events) as bigint) as usual_events,
        cast(sum(usual_warning_events) as bigint) as usual_warning_events,
        cast(sum(usual_violation_events) as bigint) as usual_violation_events
    from strata
    group by dimension, member
),

members as (
    select
        counts.*,
        users.users
    from counts
    inner join users on counts.dimension = users.dimension and counts.member = users.member
)

select * from members
