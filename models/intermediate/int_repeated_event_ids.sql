with events as (
    select * from {{ ref('stg_compliance_events') }}
),

repeated as (
    select event_id
    from events
    where event_id is not null
    group by event_id
    having count(*) > 1
),

versions as (
    select
        events.event_id,
        count(*) as copies
    from events
    inner join repeated on events.event_id = repeated.event_id
    group by
        events.event_id,
        {%- for column in raw_event_columns() %}
        events.raw_{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
),

compared as (
    select
        event_id,
        cast(sum(copies) as bigint) as copies,
        count(*) > 1 as is_conflicting
    from versions
    group by event_id
)

select * from compared
