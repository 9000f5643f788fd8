with days as (
    select * from {{ ref('int_days') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'event_date'
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

counts as (
    select
        event_date,
        {{ count_compliance_events() }}
    from events
    group by event_date
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
    left join counts on days.event_date = counts.event_date
    left join tests on tests.member = cast(days.event_date as {{ dbt.type_string() }})
)

select * from measures
