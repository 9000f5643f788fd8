with possible_dates as (
    {{ dbt.date_spine(
        'day',
        'cast(' ~ earliest_timestamp() ~ ' as date)',
        dbt.dateadd('day', 1, 'cast(' ~ latest_timestamp() ~ ' as date)')
    ) }}
),

daily_counts as (
    select * from {{ ref('int_daily_member_counts') }}
    where dimension = 'event_hour'
),

counts as (
    select
        event_date,
        min(cast(member as integer)) as first_hour,
        max(cast(member as integer)) as last_hour,
        cast(sum(events) as bigint) as events,
        cast(sum(violation_events) as bigint) as violation_events
    from daily_counts
    group by event_date
),

period as (
    select
        min(event_date) as first_date,
        max(event_date) as last_date
    from counts
),

dates as (
    select
        cast(possible_dates.date_day as date) as event_date,
        period.first_date,
        period.last_date
    from possible_dates
    inner join period
        on cast(possible_dates.date_day as date) between period.first_date and period.last_date
),

days as (
    select
        dates.event_date,
        coalesce(counts.events, 0) as events,
        coalesce(counts.violation_events, 0) as violation_events,
        -- The data begins or ends inside these days.
        (dates.event_date = dates.first_date and counts.first_hour > 0)
        or (dates.event_date = dates.last_date and counts.last_hour < 23) as is_partial_day
    from dates
    left join counts on dates.event_date = counts.event_date
)

select * from days
