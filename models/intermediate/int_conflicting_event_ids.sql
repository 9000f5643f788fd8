with events as (
    select * from {{ ref('int_checked_events') }}
),

conflicting as (
    select
        event_id,
        count(*) as versions
    from events
    where event_id is not null
    group by event_id
    having count(*) > 1
)

select * from conflicting
