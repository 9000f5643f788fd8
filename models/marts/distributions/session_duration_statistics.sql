with events as (
    select * from {{ ref('fct_compliance_events') }}
),

described as (
    select
        count(*) as events,
        avg(session_duration_minutes) as mean_minutes,
        stddev_samp(session_duration_minutes) as stddev_minutes,
        min(session_duration_minutes) as min_minutes,
        percentile_cont(0.25) within group (order by session_duration_minutes) as p25_minutes,
        percentile_cont(0.5) within group (order by session_duration_minutes) as median_minutes,
        percentile_cont(0.75) within group (order by session_duration_minutes) as p75_minutes,
        max(session_duration_minutes) as max_minutes
    from events
)

select * from described
