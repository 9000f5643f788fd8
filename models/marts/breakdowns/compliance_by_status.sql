with statuses as (
    select * from {{ ref('statuses') }}
),

users as (
    select * from {{ ref('dim_users') }}
),

user_counts as (
    select
        statuses.status,
        case statuses.status
            when 'violation' then users.violation_events
            when 'warning' then users.warning_events
            when 'compliant' then users.events - users.violation_events - users.warning_events
        end as events
    from statuses
    cross join users
),

counts as (
    select
        status,
        cast(sum(events) as bigint) as events,
        count(*) as users
    from user_counts
    where events > 0
    group by status
),

measures as (
    select
        statuses.status,
        coalesce(counts.events, 0) as events,
        coalesce(counts.users, 0) as users,
        {{ ratio('coalesce(counts.events, 0)', 'sum(counts.events) over ()') }} as event_share,
        statuses.display_order,
        statuses.color
    from statuses
    left join counts on statuses.status = counts.status
)

select * from measures
