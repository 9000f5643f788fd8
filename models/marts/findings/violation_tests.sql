with tests as (
    select * from {{ ref('outcome_tests') }}
    where outcome = 'violation'
),

violation_tests as (
    select
        dimension,
        member,
        events,
        outcome_events as violation_events,
        outcome_rate as violation_rate,
        outcome_rate_low as violation_rate_low,
        outcome_rate_high as violation_rate_high,
        rate_difference,
        detectable_difference,
        p_value,
        p_adjusted,
        p_adjusted_daily,
        adjusted_difference,
        adjusted_p_value,
        verdict,
        differs_without_unusual_days
    from tests
)

select * from violation_tests
