with days as (
    select * from {{ ref('int_days') }}
),

-- The days that set the limits.
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

-- How much more the days vary than chance alone; never less. Laney's p' (2002) has it from the mean
-- moving range of the standardised rates (2 / sqrt(pi) is its mean for independent deviates).
-- Days that resemble the day before move little and vary all the same: their median deviation tells
-- (0.6745 is that of a normal deviate).
variation as (
    select
        max(center_line) as center_line,
        greatest(
            1.0,
            coalesce(
                {{ exact_sum('moving_range') }} / count(moving_range) / 1.1283791670955126, 1.0
            ),
            coalesce(
                percentile_cont(0.5) within group (order by abs(z)) / 0.6744897501960817, 1.0
            )
        ) as sigma_z
    from ranges
),

-- Three standard errors off, and a shift of both limits by the skewness of so many events (Cornish
-- and Fisher, 1938): few violations fall short of their mean less far than they exceed it. None
-- where no event, or every one, is a violation.
margins as (
    select
        days.event_date,
        days.events,
        {{ ratio('days.violation_events', 'days.events') }} as violation_rate,
        variation.center_line,
        3 * variation.sigma_z
        * sqrt(
            variation.center_line * (1 - variation.center_line)
            / nullif(cast(days.events as double), 0)
        ) as margin,
        case
            when variation.center_line * (1 - variation.center_line) > 0
                then
                    (3 * 3 - 1) / 6e0 * (1 - 2 * variation.center_line)
                    * variation.sigma_z * variation.sigma_z / nullif(days.events, 0)
            else 0
        end as shift,
        not days.is_partial_day
        and days.events * least(variation.center_line, 1 - variation.center_line)
        >= {{ var('minimum_expected_violations') }} as is_judged,
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

-- Some engines pass over a null among the arguments of greatest and least.
limits as (
    select
        *,
        case
            when margin is not null
                then greatest(0.0, least(center_line, center_line - margin + shift))
        end as control_limit_low,
        case
            when margin is not null
                then least(1.0, greatest(center_line, center_line + margin + shift))
        end as control_limit_high
    from margins
),

chart as (
    select
        event_date,
        violation_rate,
        violation_rate_7_days,
        center_line,
        control_limit_low,
        control_limit_high,
        case
            when is_judged
                then violation_rate < control_limit_low or violation_rate > control_limit_high
        end as is_out_of_control
    from limits
)

select * from chart
