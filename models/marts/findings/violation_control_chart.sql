with days as (
    select * from {{ ref('int_days') }}
),

-- The days that set the limits and are judged by them.
whole_days as (
    select
        event_date,
        {{ ratio('violation_events', 'events') }} as violation_rate,
        {{ ratio('sum(violation_events) over ()', 'sum(events) over ()') }} as center_line,
        events
    from days
    where not is_partial_day and events > 0
),

standardized as (
    select
        *,
        (violation_rate - center_line)
        / nullif(sqrt(center_line * (1 - center_line) / events), 0) as z
    from whole_days
),

ranges as (
    select
        *,
        abs(z - lag(z) over (order by event_date)) as moving_range
    from standardized
),

-- Laney's p' (2002): how much more the days vary than chance alone, from the mean moving range of
-- the standardised rates (2 / sqrt(pi) is its mean for independent normal deviates); never less.
variation as (
    select
        max(center_line) as center_line,
        greatest(1.0, coalesce(avg(moving_range) / 1.1283791670955126, 1.0)) as sigma_z
    from ranges
),

limits as (
    select
        days.event_date,
        {{ ratio('days.violation_events', 'days.events') }} as violation_rate,
        variation.center_line,
        3 * variation.sigma_z
        * sqrt(
            variation.center_line * (1 - variation.center_line)
            / nullif(cast(days.events as double), 0)
        ) as margin,
        not days.is_partial_day and days.events > 0 as is_judged,
        case
            when row_number() over (order by days.event_date) >= 7
                then {{ ratio(
                    'sum(days.violation_events) over (order by days.event_date rows 6 preceding)',
                    'sum(days.events) over (order by days.event_date rows 6 preceding)'
                ) }}
        end as violation_rate_7_days
    from days
    cross join variation
),

chart as (
    select
        event_date,
        violation_rate,
        violation_rate_7_days,
        center_line,
        -- Some engines pass over a null among the arguments of greatest and least.
        case when margin is not null then greatest(0.0, center_line - margin) end
            as control_limit_low,
        case when margin is not null then least(1.0, center_line + margin) end
            as control_limit_high,
        case
            when is_judged
                then violation_rate < center_line - margin or violation_rate > center_line + margin
        end as is_out_of_control
    from limits
)

select * from chart
