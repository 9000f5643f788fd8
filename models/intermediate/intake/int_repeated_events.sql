-- Staging is named twice, because engines would keep a shared CTE of all rows in memory.
with repeated_ids as (
    select event_id
    from {{ ref('stg_compliance_events') }}
    where event_id is not null
    group by event_id
    having count(*) > 1
),

distinct_rows as (
    select
        {{ staged_event_columns('events.') | join(',\n        ') }},
        count(*) as copies
    from {{ ref('stg_compliance_events') }} as events
    inner join repeated_ids on events.event_id = repeated_ids.event_id
    group by {{ staged_event_columns('events.') | join(', ') }}
),

repeated as (
    select
        *,
        count(*) over (partition by event_id) as versions
    from distinct_rows
)

select * from repeated
