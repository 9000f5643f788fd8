with strata as (
    select * from {{ ref('int_member_strata') }}
    where not {{ is_unknown_member('member') }}
),

design_effects as (
    select * from {{ ref('int_design_effects') }}
),

stratum_totals as (
    select
        dimension,
        stratum,
        sum(events) as events,
        sum(violation_events) as violation_events,
        sum(warning_events) as warning_events
    from strata
    group by dimension, stratum
),

members as (
    select distinct
        dimension,
        member
    from strata
),

-- Every member in every part of the mix, against the rest of that part.
compared as (
    select
        members.dimension,
        members.member,
        stratum_totals.stratum,
        coalesce(strata.events, 0) as events,
        stratum_totals.events - coalesce(strata.events, 0) as rest_events,
        coalesce(strata.violation_events, 0) as violation_events,
        stratum_totals.violation_events - coalesce(strata.violation_events, 0)
            as rest_violation_events,
        coalesce(strata.warning_events, 0) as warning_events,
        stratum_totals.warning_events - coalesce(strata.warning_events, 0) as rest_warning_events
    from members
    inner join stratum_totals on members.dimension = stratum_totals.dimension
    left join strata
        on
            members.dimension = strata.dimension
            and members.member = strata.member
            and stratum_totals.stratum = strata.stratum
),

-- Parts in which either has few events count as one.
pooled as (
    {%- for outcome in outcomes() %}
        select
            dimension,
            member,
            '{{ outcome }}' as outcome,
            case when least(events, rest_events) >= 10 then stratum end as stratum,
            cast(sum(events) as double) as events,
            cast(sum(rest_events) as double) as rest_events,
            cast(sum(events + rest_events) as double) as all_events,
            cast(sum({{ outcome }}_events) as double) as outcome_events,
            cast(sum({{ outcome }}_events + rest_{{ outcome }}_events) as double)
                as all_outcome_events
        from compared
        group by dimension, member, case when least(events, rest_events) >= 10 then stratum end
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Directly standardised to the mix of all events; and the test of Mantel and Haenszel (1959).
standardised as (
    select
        dimension,
        member,
        outcome,
        {{ exact_sum(
            'all_events * (outcome_events / events'
            ~ ' - (all_outcome_events - outcome_events) / rest_events)'
        ) }} / sum(all_events) as adjusted_difference,
        {{ exact_sum('outcome_events - events * all_outcome_events / all_events') }} as excess,
        {{ exact_sum(
            'events * rest_events / all_events * all_outcome_events / all_events'
            ~ ' * (all_events - all_outcome_events) / (all_events - 1)'
        ) }} as excess_variance
    from pooled
    where events > 0 and rest_events > 0
    group by dimension, member, outcome
),

tests as (
    select
        standardised.dimension,
        standardised.member,
        standardised.outcome,
        standardised.adjusted_difference,
        standardised.excess
        / sqrt(nullif(standardised.excess_variance * design_effects.design_effect, 0)) as adjusted_t
    from standardised
    inner join design_effects
        on
            standardised.dimension = design_effects.dimension
            and standardised.outcome = design_effects.outcome
)

select * from tests
