with events as (
    select * from {{ ref('fct_compliance_events') }}
),

counts as (
    select
        concurrent_streams,
        {{ count_compliance_events() }}
    from events
    group by concurrent_streams
),

measures as (
    select
        counts.concurrent_streams,
        {{ compliance_measures('counts') }}
    from counts
)

select * from measures
