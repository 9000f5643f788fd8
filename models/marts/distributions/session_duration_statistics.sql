with value_counts as (
    select * from {{ ref('int_value_counts') }}
    where metric = 'session_duration_minutes'
),

all_events as (
    select sum(events) as events
    from {{ ref('int_member_counts') }}
    where dimension = 'event_hour'
),

means as (
    select
        cast(coalesce(sum(events), 0) as bigint) as events,
        {{ ratio(exact_sum('events * metric_value'), 'sum(events)') }} as mean_minutes
    from value_counts
),

described as (
    select
        means.events,
        means.mean_minutes,
        sqrt(
            {{ ratio(
                exact_sum(
                    'value_counts.events * power(value_counts.metric_value - means.mean_minutes, 2)',
                    digits=12
                ),
                'means.events - 1'
            ) }}
        ) as stddev_minutes,
        min(value_counts.metric_value) as min_minutes,
        {{ quantile_of_counts(0.25) }} as p25_minutes,
        {{ quantile_of_counts(0.5) }} as median_minutes,
        {{ quantile_of_counts(0.75) }} as p75_minutes,
        max(value_counts.metric_value) as max_minutes,
        1 - {{ ratio('means.events', 'all_events.events') }} as missing_share
    from means
    cross join all_events
    left join value_counts on true
    group by means.events, means.mean_minutes, all_events.events
)

select * from described
