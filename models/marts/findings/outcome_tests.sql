{# The last one is that of the smallest p-value among the dimensions. #}
{% set power_z, dimension_z, further_z = normal_quantiles([
    var('power'),
    1 - level_of_a_look() / tests_of_dimensions(),
    1 - level_of_a_look() / ([further_dimensions() | length, 1] | max),
]) %}
{% set further = further_dimensions() | map(attribute='dimension') | list %}

with members as (
    select
        *,
        dimension || ' / ' || member || ' / ' || outcome || ' / ' || days as test_key
    from {{ ref('int_compared_members') }}
),

associations as (
    select * from {{ ref('int_association_tests') }}
),

mix_tests as (
    select * from {{ ref('int_mix_tests') }}
),

rates as (
    select * from {{ ref('int_outcome_rates') }}
),

-- Pooled two-proportion test, as it stands and with users as clusters; and the one within the mix.
scored as (
    select
        members.*,
        members.standard_error * sqrt(members.design_effect) as clustered_error,
        members.rate_difference / nullif(members.standard_error, 0) as z,
        mix_tests.adjusted_difference,
        mix_tests.adjusted_t
    from members
    left join mix_tests
        on
            members.dimension = mix_tests.dimension
            and members.member = mix_tests.member
            and members.outcome = mix_tests.outcome
            and members.days = 'all'
),

clustered as (
    select
        test_key,
        {{ beta_of_f(
            'power(rate_difference / nullif(clustered_error, 0), 2)', '1', 'denominator_degrees'
        ) }}
    from scored
),

within_mix as (
    select
        test_key,
        {{ beta_of_f('adjusted_t * adjusted_t', '1', 'denominator_degrees') }}
    from scored
    where adjusted_t is not null
),

{{ beta_node_ctes() }},

{{ beta_tail_ctes('clustered', 'clustered_tails') }},

{{ beta_tail_ctes('within_mix', 'mix_tails') }},

tested as (
    select
        scored.*,
        {{ normal_two_sided_p('scored.z') }} as p_value,
        clustered_tails.p_value as clustered_p_value,
        mix_tails.p_value as adjusted_p_value
    from scored
    inner join clustered_tails on scored.test_key = clustered_tails.test_key
    left join mix_tails on scored.test_key = mix_tails.test_key
),

steps as (
    select
        *,
        {{ holm_step('clustered_p_value', ties='member', family='dimension, outcome, days') }}
            as holm_step,
        count(clustered_p_value) over (partition by dimension, outcome, days) as family_size
    from tested
),

adjusted as (
    select
        *,
        {{ holm_adjusted(
            'holm_step', 'clustered_p_value', ties='member', family='dimension, outcome, days'
        ) }} as p_adjusted
    from steps
),

claimed as (
    select
        adjusted.*,
        associations.countable_degrees,
        associations.is_too_few or adjusted.is_sparse as is_too_few,
        {{ is_claimed('associations.p_adjusted') }}
        and {{ is_claimed('adjusted.p_adjusted') }}
        and {{ is_large_enough('adjusted.rate_difference') }} as is_different,
        -- A second look at a difference that was found, so for itself; with nothing to compare
        -- within the mix, it stands.
        coalesce(
            {{ is_claimed('adjusted.adjusted_p_value') }}
            and {{ is_large_enough('adjusted.adjusted_difference') }}
            and adjusted.adjusted_difference * adjusted.rate_difference > 0,
            true
        ) as is_different_within_mix
    from adjusted
    inner join associations
        on
            adjusted.dimension = associations.dimension
            and adjusted.outcome = associations.outcome
            and adjusted.days = associations.days
),

judged as (
    select
        *,
        case
            when is_too_few then 'too_few'
            when is_different and is_different_within_mix then 'differs'
            when is_different then 'explained_by_mix'
            else 'no_evidence'
        end as verdict
    from claimed
),

-- The critical values of the smallest p-value among the members, and of the dimension among all.
powered as (
    select
        *,
        {{ normal_quantile(
            '(1 - ' ~ level_of_a_look() ~ ' / (2e0 * greatest(family_size, 1)))'
        ) }} as member_z,
        {%- if further %}
            case
                when dimension in ({{ text_list(further) }})
                    then {{ f_quantile(further_z, 'countable_degrees', 'denominator_degrees') }}
                else {{ f_quantile(dimension_z, 'countable_degrees', 'denominator_degrees') }}
            end
        {%- else %}
            {{ f_quantile(dimension_z, 'countable_degrees', 'denominator_degrees') }}
        {%- endif %}
        * countable_degrees as critical_chi_square
    from judged
    where days = 'all' and not is_too_few
),

{{ chi_square_node_ctes('powered', 'countable_degrees - 1') }},

-- How many standard errors off a member must be. Its test asks for one number; that of the
-- dimension for what the other members, which differ by chance, leave to it.
demands as (
    select
        powered.test_key,
        greatest(
            {{ near_student_quantile('powered.member_z', 'powered.denominator_degrees') }},
            sqrt(greatest(0.0, powered.critical_chi_square - nodes.chi_square))
        ) as errors,
        nodes.weight
    from powered
    inner join chi_square_nodes as nodes on powered.test_key = nodes.test_key
),

demanded as (
    select
        test_key,
        {{ exact_sum('weight * errors') }} as mean_errors,
        {{ exact_sum('weight * errors * errors') }} as mean_squared_errors
    from demands
    group by test_key
),

-- With the power that is asked for, where the error itself is known from few users.
powered_demands as (
    select
        powered.*,
        demanded.mean_errors,
        {{ power_z }} * sqrt(
            1 + greatest(0.0, demanded.mean_squared_errors - power(demanded.mean_errors, 2))
            + power(demanded.mean_errors, 2) / (2 * powered.denominator_degrees)
        ) as power_errors
    from powered
    inner join demanded on powered.test_key = demanded.test_key
),

-- The rate that a member so different would have, and that of all with it: at these, errors are
-- larger.
alternatives as (
    select
        *,
        least(
            pooled_rate + (mean_errors + power_errors) * clustered_error,
            greatest(pooled_rate, 0.5)
        ) as higher_rate
    from powered_demands
),

pooled_alternatives as (
    select
        *,
        pooled_rate + (higher_rate - pooled_rate) * {{ ratio('events', 'events + rest_events') }}
            as higher_pooled_rate
    from alternatives
),

detectable as (
    select
        test_key,
        greatest(
            mean_errors * clustered_error
            * sqrt(
                higher_pooled_rate * (1 - higher_pooled_rate) / (pooled_rate * (1 - pooled_rate))
            ),
            {{ var('minimum_effect_percentage_points') }} / 100.0
        ) + power_errors * sqrt(design_effect * (
            higher_rate * (1 - higher_rate) / events
            + pooled_rate * (1 - pooled_rate) / nullif(rest_events, 0)
        )) as detectable_difference
    from pooled_alternatives
),

tests as (
    select
        judged.dimension,
        judged.member,
        judged.outcome,
        judged.events,
        judged.outcome_events,
        judged.outcome_rate,
        rates.outcome_rate_low,
        rates.outcome_rate_high,
        judged.rate_difference,
        detectable.detectable_difference,
        judged.p_value,
        judged.p_adjusted,
        {{ p_of_daily_looks('judged.p_adjusted') }} as p_adjusted_daily,
        judged.adjusted_difference,
        judged.adjusted_p_value,
        judged.verdict,
        case
            when judged.verdict = 'differs'
                then coalesce(
                    usual.verdict = 'differs'
                    and usual.rate_difference * judged.rate_difference > 0,
                    false
                )
        end as differs_without_unusual_days
    from judged
    inner join rates
        on
            judged.dimension = rates.dimension
            and judged.member = rates.member
            and judged.outcome = rates.outcome
    left join judged as usual
        on
            judged.dimension = usual.dimension
            and judged.member = usual.member
            and judged.outcome = usual.outcome
            and usual.days = 'usual'
    left join detectable on judged.test_key = detectable.test_key
    where judged.days = 'all'
)

select * from tests
