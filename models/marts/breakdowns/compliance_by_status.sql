with statuses as (
    select * from {{ ref('statuses') }}
),

users as (
    select * from {{ ref('dim_users') }}
),

-- Every event has an hour.
hours as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'event_hour'
),

event_counts as (
    select
        statuses.status,
        cast(sum(case statuses.status
            when 'violation' then hours.violation_events
            when 'warning' then hours.warning_events
            when 'compliant' then hours.compliant_events
        end) as bigint) as events
    from statuses
    cross join hours
    group by statuses.status
),

user_counts as (
    select
        statuses.status,
        count(*) as users
    from statuses
    cross join users
    where
        case statuses.status
            when 'violation' then users.violation_events
            when 'warning' then users.warning_events
            when 'compliant' then users.events - users.violation_events - users.warning_events
        end > 0
    group by statuses.status
),

measures as (
    select
        statuses.status,
        coalesce(event_counts.events, 0) as events,
        coalesce(user_counts.users, 0) as users,
        {{ ratio('coalesce(event_counts.events, 0)', 'sum(event_counts.events) over ()') }}
            as event_share,
        statuses.display_order,
        statuses.color
    from statuses
    left join event_counts on statuses.status = event_counts.status
    left join user_counts on statuses.status = user_counts.status
)

select * from measures
