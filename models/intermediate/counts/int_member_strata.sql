with daily_counts as (
    select * from {{ ref('int_daily_member_counts') }}
),

further_members as (
    select * from {{ ref('int_further_members') }}
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

member_days as (
    select
        daily_counts.dimension,
        coalesce(further_members.member, daily_counts.member) as member,
        daily_counts.stratum,
        daily_counts.events,
        daily_counts.compliant_events,
        daily_counts.warning_events,
        daily_counts.violation_events,
        coalesce(control_chart.is_out_of_control, false) as is_unusual_day
    from daily_counts
    inner join control_chart on daily_counts.event_date = control_chart.event_date
    left join further_members
        on
            daily_counts.dimension = further_members.dimension
            and daily_counts.member = further_members.raw_value
),

counts as (
    select
        dimension,
        member,
        stratum,
        cast(sum(events) as bigint) as events,
        cast(sum(compliant_events) as bigint) as compliant_events,
        cast(sum(warning_events) as bigint) as warning_events,
        cast(sum(violation_events) as bigint) as violation_events,
        cast(sum(case when is_unusual_day then 0 else events end) as bigint) as usual_events,
        cast(sum(case when is_unusual_day then 0 else warning_events end) as bigint)
            as usual_warning_events,
        cast(sum(case when is_unusual_day then 0 else violation_events end) as bigint)
            as usual_violation_events
    from member_days
    group by dimension, member, stratum
)

select * from counts
