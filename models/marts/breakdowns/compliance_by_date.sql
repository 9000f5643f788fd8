with days as (
    select * from {{ ref('int_days') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'event_date'
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'event_date'
),

measures as (
    select
        days.event_date,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests', is_judged='not days.is_partial_day') }},
        days.is_partial_day,
        control_chart.violation_rate_7_days,
        control_chart.control_limit_low,
        control_chart.control_limit_high,
        control_chart.is_out_of_control
    from days
    inner join control_chart on days.event_date = control_chart.event_date
    left join counts on counts.member = {{ as_text('days.event_date') }}
    left join tests on tests.member = {{ as_text('days.event_date') }}
)

select * from measures
