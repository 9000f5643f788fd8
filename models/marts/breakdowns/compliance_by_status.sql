with statuses as (
    select * from {{ ref('statuses') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

counts as (
    select
        status,
        count(*) as events,
        count(distinct user_id) as users
    from events
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
