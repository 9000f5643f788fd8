{# Further dimensions are a family of their own: more of them make nothing else harder to see. #}
{% set further = further_dimensions() | map(attribute='dimension') | list %}
{% set family = 'outcome, days' %}
{% if further %}
    {% set family = family ~ ', dimension in (' ~ text_list(further) ~ ')' %}
{% endif %}

with members as (
    select * from {{ ref('int_compared_members') }}
),

-- Members of which less than one event with the rarer outcome is expected stay out of the test.
countable as (
    select
        *,
        case
            when is_countable
                then {{ ratio(
                    'sum(case when is_countable then outcome_events end)'
                    ~ ' over (partition by dimension, outcome, days)',
                    'sum(case when is_countable then events end)'
                    ~ ' over (partition by dimension, outcome, days)'
                ) }}
        end as countable_rate
    from members
),

-- Pearson's statistic of the table of members by outcome, yes or no: of all members, and of those.
pearson as (
    select
        dimension,
        outcome,
        days,
        dimension || ' ' || outcome || ' ' || days as test_key,
        count(*) as members,
        count(*) - 1 as degrees_of_freedom,
        cast(sum(events) as bigint) as events,
        {{ exact_sum('events * power(outcome_rate - pooled_rate, 2)', digits=18) }}
        / nullif(max(pooled_rate * (1 - pooled_rate)), 0) as chi_square,
        nullif(greatest(count(countable_rate) - 1, 0), 0) as countable_degrees,
        {{ exact_sum('events * power(outcome_rate - countable_rate, 2)', digits=18) }}
        / nullif(max(countable_rate * (1 - countable_rate)), 0) as countable_chi_square,
        max(design_effect) as design_effect,
        max(denominator_degrees) as denominator_degrees,
        sum(case when is_countable then sparse_cells else 0 end) as sparse_cells
    from countable
    group by dimension, outcome, days
),

textbook as (
    select
        test_key,
        {{ beta_of_chi_square('chi_square', 'degrees_of_freedom') }}
    from pearson
),

-- Of the first order (Rao and Scott, 1981); F allows for few users (Thomas and Rao, 1987).
clustered as (
    select
        test_key,
        {{ beta_of_f(
            'countable_chi_square / design_effect / countable_degrees',
            'countable_degrees', 'denominator_degrees'
        ) }}
    from pearson
),

{{ beta_node_ctes() }},

{{ beta_tail_ctes('textbook', 'textbook_tails') }},

{{ beta_tail_ctes('clustered', 'clustered_tails') }},

tested as (
    select
        pearson.*,
        textbook_tails.p_value,
        clustered_tails.p_value as clustered_p_value
    from pearson
    inner join textbook_tails on pearson.test_key = textbook_tails.test_key
    inner join clustered_tails on pearson.test_key = clustered_tails.test_key
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

-- Cochran (1954): a fifth of the expected counts may be below the minimum.
judged as (
    select
        dimension,
        outcome,
        days,
        members,
        events,
        chi_square,
        degrees_of_freedom,
        countable_degrees,
        denominator_degrees,
        design_effect,
        p_value,
        p_adjusted,
        p_adjusted is null or 5 * sparse_cells > 2 * (countable_degrees + 1) as is_too_few
    from adjusted
)

select * from judged
