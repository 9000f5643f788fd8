{# The trend is one more test beside those of the dimensions. #}
{% set tests = tests_of_dimensions() + 1 %}
{% set confidence_z, power_z, critical_z = normal_quantiles([
    (1 + var('confidence_level')) / 2,
    var('power'),
    1 - level_of_a_look() / (2 * tests),
]) %}

with days as (
    select * from {{ ref('int_days') }}
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

associations as (
    select * from {{ ref('violation_associations') }}
),

numbered as (
    select
        *,
        (row_number() over (order by event_date) - 1) / 7e0 as weeks
    from days
),

-- Partial days have another mix of hours, and days without events have no rate.
whole_days as (
    select
        numbered.event_date,
        numbered.events,
        numbered.violation_events,
        numbered.weeks as x,
        control_chart.violation_rate as y,
        cast(numbered.events as double) as weight,
        control_chart.is_out_of_control,
        -- A bound that is cut off at 0 or 1 is the nearer one.
        greatest(
            control_chart.control_limit_high - control_chart.center_line,
            control_chart.center_line - control_chart.control_limit_low
        ) as margin
    from numbered
    inner join control_chart on numbered.event_date = control_chart.event_date
    where not numbered.is_partial_day and numbered.events > 0
),

{{ weighted_line_ctes('whole_days', 'line_of_all') }},

-- A day out of control is set aside if it lies as far from the line through the other days, by
-- residual / (1 - leverage): a steep trend leads beyond the limits as well.
judged_days as (
    select
        *,
        is_out_of_control and abs(residual) > (1 - leverage) * margin as is_set_aside
    from line_of_all
),

set_aside as (
    select
        count(*) as days_set_aside,
        nullif({{ alphabetical_list(as_text('event_date')) }}, '') as dates_set_aside
    from judged_days
    where is_set_aside
),

days_of_trend as (
    select
        event_date,
        events,
        violation_events,
        x,
        y,
        weight
    from judged_days
    where not coalesce(is_set_aside, false)
),

{{ weighted_line_ctes('days_of_trend', 'line_of_events') }},

-- The variance of an event with users as clusters, and how often it holds the variance by which the
-- days themselves differ, by the method of moments (DerSimonian and Laird, 1986).
totals as (
    select
        count(*) as days,
        cast(coalesce(sum(line_of_events.events), 0) as bigint) as events,
        cast(coalesce(sum(line_of_events.violation_events), 0) as bigint) as violation_events,
        max(line_of_events.x) - min(line_of_events.x) as weeks,
        case when count(*) > 2 then count(*) - 2 end as degrees_of_freedom,
        {{ exact_sum('line_of_events.weight * line_of_events.residual * line_of_events.residual') }}
            as squared_residuals,
        {{ exact_sum('line_of_events.weight * (1 - line_of_events.leverage)') }} as free_events
    from line_of_events
),

variances as (
    select
        totals.*,
        coalesce(by_date.design_effect, 1)
        * {{ ratio('totals.violation_events', 'totals.events') }}
        * (1 - {{ ratio('totals.violation_events', 'totals.events') }}) as event_variance
    from totals
    left join associations as by_date on by_date.dimension = 'event_date'
),

spreads as (
    select
        *,
        greatest(0.0, coalesce(
            (squared_residuals / nullif(event_variance, 0) - degrees_of_freedom)
            / nullif(free_events, 0),
            0.0
        )) as relative_day_variance
    from variances
),

-- The more the days themselves differ, the less counts how many events a day has.
weighted_days as (
    select
        days_of_trend.x,
        days_of_trend.y,
        days_of_trend.weight / (1 + days_of_trend.weight * spreads.relative_day_variance) as weight,
        1 - 1 / (1 + days_of_trend.weight * spreads.relative_day_variance) as day_share
    from days_of_trend
    cross join spreads
),

{{ weighted_line_ctes('weighted_days', 'line') }},

neighbours as (
    select
        *,
        sqrt(weight) * residual as deviation,
        lag(sqrt(weight) * residual) over (order by x) as deviation_before
    from line
),

moments as (
    select
        max(slope) as slope,
        max(variation) as variation,
        {{ exact_sum('deviation * deviation') }} as squared_residuals,
        {{ exact_sum('deviation * deviation_before') }} as neighbouring_residuals,
        {{ exact_sum('day_share') }} / count(*) as day_share
    from neighbours
),

-- How much a day resembles the one before: a line through the days takes some of that away, which
-- is added again; what chance alone often makes is none; chance among the events of a day has no
-- memory, so that all of it is in the share of the variance by which the days themselves differ.
autocorrelations as (
    select
        spreads.*,
        moments.slope,
        moments.variation,
        moments.squared_residuals as weighted_squares,
        moments.day_share,
        (
            spreads.days * moments.neighbouring_residuals / nullif(moments.squared_residuals, 0) + 2
        ) / nullif(greatest(0, spreads.days - 4), 0) as autocorrelation
    from spreads
    cross join moments
),

remembered as (
    select
        *,
        case
            when autocorrelation > 1.2816 / sqrt(days) and day_share > 0
                then least(autocorrelation / day_share, 0.95)
            else 0.0
        end as memory
    from autocorrelations
),

-- How many days are worth as much as one that is independent, if the memory fades from day to day.
repeated_days as (
    select
        *,
        1 + 2 * day_share * memory / (1 - memory) as days_for_one
    from remembered
),

-- The larger of the error that users as clusters make and that by which the days scatter (Knapp and
-- Hartung, 2003).
estimated as (
    select
        days,
        events,
        violation_events,
        weeks,
        case when degrees_of_freedom > 0 then greatest(1.0, days / days_for_one - 2) end
            as degrees_of_freedom,
        case when degrees_of_freedom > 0 then slope end as change_per_week,
        sqrt(
            greatest(event_variance, weighted_squares / degrees_of_freedom)
            * days_for_one / nullif(variation, 0)
        ) as standard_error
    from repeated_days
),

tests as (
    select
        'trend' as test_key,
        {{ beta_of_f(
            'power(change_per_week / nullif(standard_error, 0), 2)', '1', 'degrees_of_freedom'
        ) }}
    from estimated
),

levels as (
    select
        chosen.test_key,
        chosen.z,
        estimated.degrees_of_freedom
    from estimated
    cross join (
        values
        ('confidence', {{ confidence_z }}), ('power', {{ power_z }}), ('critical', {{ critical_z }})
    ) as chosen (test_key, z)
),

{{ beta_node_ctes() }},

{{ beta_tail_ctes('tests', 'tails') }},

{{ student_quantile_ctes('levels') }},

quantiles as (
    select
        max(case when test_key = 'confidence' then quantile end) as confidence,
        max(case when test_key = 'power' then quantile end) as power,
        max(case when test_key = 'critical' then quantile end) as critical
    from student_quantiles
),

tested as (
    select
        estimated.days,
        estimated.events,
        estimated.weeks,
        set_aside.days_set_aside,
        set_aside.dates_set_aside,
        estimated.violation_events,
        estimated.change_per_week,
        estimated.change_per_week - quantiles.confidence * estimated.standard_error
            as change_per_week_low,
        estimated.change_per_week + quantiles.confidence * estimated.standard_error
            as change_per_week_high,
        estimated.change_per_week * estimated.weeks as change_over_period,
        -- The larger of two errors is larger on average.
        case
            when estimated.standard_error > 0
                then greatest(
                    quantiles.critical * estimated.standard_error
                    * (1 + 1 / (2 * sqrt(pi() * estimated.degrees_of_freedom))),
                    {{ var('minimum_effect_percentage_points') }} / 100.0 / estimated.weeks
                ) + quantiles.power * estimated.standard_error
        end as detectable_change,
        tails.p_value,
        case when tails.p_value is not null then least(1.0, {{ tests }} * tails.p_value) end
            as p_adjusted
    from estimated
    cross join set_aside
    cross join quantiles
    cross join tails
),

trend as (
    select
        days,
        events,
        days_set_aside,
        dates_set_aside,
        change_per_week,
        change_per_week_low,
        change_per_week_high,
        change_over_period,
        -- No rate can change by more.
        case when detectable_change * weeks <= 1 then detectable_change end as detectable_change,
        p_value,
        p_adjusted,
        {{ p_of_daily_looks('p_adjusted') }} as p_adjusted_daily,
        {{ trend_verdict(
            'days', 'violation_events', 'events', 'p_adjusted', 'change_over_period'
        ) }} as verdict
    from tested
)

select * from trend
