with tests as (
    select * from {{ ref('int_association_tests') }}
    where days = 'all'
),

member_tests as (
    select * from {{ ref('outcome_tests') }}
),

-- A dimension differs only if a member does.
members as (
    select
        dimension,
        outcome,
        count(*) filter (where verdict = 'differs') as different_members,
        count(*) filter (where verdict = 'explained_by_mix') as explained_members,
        count(*) filter (where differs_without_unusual_days) as usually_different_members
    from member_tests
    group by dimension, outcome
),

associations as (
    select
        tests.dimension,
        tests.outcome,
        tests.members,
        tests.chi_square,
        tests.degrees_of_freedom,
        tests.denominator_degrees,
        tests.p_value,
        tests.p_adjusted,
        {{ p_of_daily_looks('tests.p_adjusted') }} as p_adjusted_daily,
        sqrt(tests.chi_square / tests.events) as cramers_v,
        tests.design_effect,
        case
            when tests.is_too_few then 'too_few'
            when members.different_members > 0 then 'differs'
            when members.explained_members > 0 then 'explained_by_mix'
            else 'no_evidence'
        end as verdict,
        case
            when not tests.is_too_few and members.different_members > 0
                then members.usually_different_members > 0
        end as differs_without_unusual_days
    from tests
    inner join members
        on tests.dimension = members.dimension and tests.outcome = members.outcome
)

select * from associations
