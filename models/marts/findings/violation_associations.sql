{# Further dimensions are a family of their own: more of them make nothing else harder to see. #}
{% set further = further_dimensions() | map(attribute='dimension') | list %}
{% set family = 'dimension in (' ~ text_list(further) ~ ')' if further else none %}

-- What is missing is no member to compare.
with member_counts as (
    select * from {{ ref('int_member_counts') }}
    where not {{ is_unknown_member('member') }}
),

design_effects as (
    select * from {{ ref('int_design_effects') }}
),

totals as (
    select
        dimension,
        count(*) as members,
        sum(events) as events,
        {{ ratio('sum(violation_events)', 'sum(events)') }} as violation_rate
    from member_counts
    group by dimension
),

-- Pearson's statistic of the table of members by violation, yes or no.
pearson as (
    select
        totals.dimension,
        totals.members,
        totals.members - 1 as degrees_of_freedom,
        sum(
            member_counts.events
            * power(
                {{ ratio('member_counts.violation_events', 'member_counts.events') }}
                - totals.violation_rate,
                2
            )
        ) / nullif(max(totals.violation_rate * (1 - totals.violation_rate)), 0) as chi_square,
        max(totals.events) as events,
        count(*) filter (
            where {{ rarer_events('member_counts.events', 'totals.violation_rate') }}
            < {{ var('minimum_expected_violations') }}
        ) as sparse_members
    from totals
    inner join member_counts on totals.dimension = member_counts.dimension
    group by totals.dimension, totals.members
),

-- Each statistic twice: as it stands, and corrected for the clustering of events by user.
tests as (
    select
        dimension || ' textbook' as test_key,
        chi_square,
        degrees_of_freedom
    from pearson

    union all

    select
        pearson.dimension || ' clustered' as test_key,
        pearson.chi_square / design_effects.design_effect as chi_square,
        pearson.degrees_of_freedom
    from pearson
    inner join design_effects on pearson.dimension = design_effects.dimension
),

{{ chi_square_tail_ctes('tests', longest=16384) }},

tested as (
    select
        pearson.*,
        design_effects.design_effect,
        textbook_tails.p_value,
        clustered_tails.p_value as clustered_p_value
    from pearson
    inner join design_effects on pearson.dimension = design_effects.dimension
    inner join chi_square_tails as textbook_tails
        on pearson.dimension || ' textbook' = textbook_tails.test_key
    inner join chi_square_tails as clustered_tails
        on pearson.dimension || ' clustered' = clustered_tails.test_key
),

steps as (
    select
        *,
        {{ holm_step('clustered_p_value', ties='dimension', family=family) }} as holm_step
    from tested
),

adjusted as (
    select
        *,
        {{ holm_adjusted('holm_step', 'clustered_p_value', ties='dimension', family=family) }}
            as p_adjusted
    from steps
),

associations as (
    select
        dimension,
        members,
        chi_square,
        degrees_of_freedom,
        p_value,
        p_adjusted,
        sqrt(chi_square / events) as cramers_v,
        design_effect,
        {{ dimension_verdict('sparse_members', 'members', 'p_adjusted') }} as verdict
    from adjusted
)

select * from associations
