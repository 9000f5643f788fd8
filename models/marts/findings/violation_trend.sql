{# The trend is one more test beside those of the dimensions. #}
{% set tests = tested_dimensions() | length + 1 %}
{% set confidence_z, power_z, critical_z = normal_quantiles([
    (1 + var('confidence_level')) / 2,
    var('power'),
    1 - var('alpha') / (2 * tests),
]) %}

with days as (
    select * from {{ ref('int_days') }}
),

associations as (
    select * from {{ ref('violation_associations') }}
),

-- Weeks since the first whole day; partial days have another mix of hours and are left out.
whole_days as (
    select
        events,
        violation_events,
        (row_number() over (order by event_date) - 1) / 7e0 as weeks
    from days
    where not is_partial_day
),

centered as (
    select
        events,
        violation_events,
        {{ ratio('sum(violation_events) over ()', 'sum(events) over ()') }} as violation_rate,
        weeks - {{ ratio('sum(events * weeks) over ()', 'sum(events) over ()') }} as weeks
    from whole_days
),

-- Linear trend in proportions (Cochran, 1954; Armitage, 1955).
moments as (
    select
        count(*) as days,
        sum(events) as events,
        max(violation_rate) as violation_rate,
        sum((violation_events - events * violation_rate) * weeks) as covariation,
        sum(events * weeks * weeks) as variation
    from centered
),

estimated as (
    select
        moments.days,
        moments.events,
        moments.covariation / nullif(moments.variation, 0) as change_per_week,
        sqrt(
            moments.violation_rate * (1 - moments.violation_rate) / nullif(moments.variation, 0)
        ) as standard_error,
        by_date.design_effect
    from moments
    left join associations as by_date on by_date.dimension = 'event_date'
),

scored as (
    select
        *,
        standard_error * sqrt(coalesce(design_effect, 1)) as clustered_error,
        change_per_week / nullif(standard_error, 0) as z,
        change_per_week / nullif(standard_error * sqrt(coalesce(design_effect, 1)), 0)
            as clustered_z
    from estimated
),

tested as (
    select
        *,
        {{ normal_two_sided_p('z') }} as p_value,
        {{ normal_two_sided_p('clustered_z') }} as clustered_p_value
    from scored
),

trend as (
    select
        days,
        cast(coalesce(events, 0) as bigint) as events,
        change_per_week,
        change_per_week - {{ confidence_z }} * clustered_error as change_per_week_low,
        change_per_week + {{ confidence_z }} * clustered_error as change_per_week_high,
        ({{ critical_z }} + {{ power_z }}) * nullif(clustered_error, 0) as detectable_change,
        p_value,
        case when clustered_p_value is not null then least(1.0, {{ tests }} * clustered_p_value) end
            as p_adjusted,
        case
            when {{ tests }} * clustered_p_value < {{ var('alpha') }} then 'differs'
            else 'no_evidence'
        end as verdict
    from tested
)

select * from trend
