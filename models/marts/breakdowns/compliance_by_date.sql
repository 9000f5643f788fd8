with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'event_date'
),

days as (
    select * from {{ ref('int_days') }}
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

breakdown as (
    select
        days.event_date,
        {{ breakdown_columns('members') }},
        days.is_partial_day,
        control_chart.violation_rate_7_days,
        control_chart.control_limit_low,
        control_chart.control_limit_high,
        control_chart.is_out_of_control
    from members
    inner join days on members.member = {{ as_text('days.event_date') }}
    inner join control_chart on days.event_date = control_chart.event_date
)

select * from breakdown
