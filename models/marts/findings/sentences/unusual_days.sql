with control_chart as (
    select * from {{ ref('violation_control_chart') }}
    where is_out_of_control
),

trend as (
    select * from {{ ref('violation_trend') }}
),

days as (
    select
        'out of control' as kind,
        *
    from control_chart

    union all

    select
        'set aside' as kind,
        control_chart.*
    from control_chart
    inner join trend
        on trend.dates_set_aside like '%' || {{ as_text('control_chart.event_date') }} || '%'
),

named as (
    select
        kind,
        row_number() over (partition by kind order by event_date) as place,
        {{ day_in_words('event_date') }} as day_name,
        {{ day_in_words('event_date') }} || ' (' || {{ percent('violation_rate') }} || ', expected '
        || {{ percent_range('control_limit_low', 'control_limit_high') }} || ')'
            as day_name_with_rate,
        abs(violation_rate - center_line) as distance
    from days
),

listed as (
    select
        kind,
        count(*) as days,
        {{ first_days('day_name') }} as day_names,
        {{ first_days('day_name_with_rate') }} as day_names_with_rates,
        max(distance) as largest_distance
    from named
    group by kind
)

select * from listed
