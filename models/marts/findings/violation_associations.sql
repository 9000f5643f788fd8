with associations as (
    select * from {{ ref('outcome_associations') }}
    where outcome = 'violation'
),

violation_associations as (
    select
        dimension,
        members,
        chi_square,
        degrees_of_freedom,
        denominator_degrees,
        p_value,
        p_adjusted,
        p_adjusted_daily,
        cramers_v,
        design_effect,
        verdict,
        differs_without_unusual_days
    from associations
)

select * from violation_associations
