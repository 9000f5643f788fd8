{# The last one is that of the smallest p-value among the dimensions. #}
{% set confidence_z, power_z, dimension_z, further_z = normal_quantiles([
    (1 + var('confidence_level')) / 2,
    var('power'),
    1 - var('alpha') / tests_of_dimensions(),
    1 - var('alpha') / ([further_dimensions() | length, 1] | max),
]) %}
{% set further = further_dimensions() | map(attribute='dimension') | list %}

-- What is missing is no member to compare.
with member_counts as (
    select * from {{ ref('int_member_counts') }}
    where not {{ is_unknown_member('member') }}
),

associations as (
    select * from {{ ref('violation_associations') }}
),

-- A member against all the rest.
compared as (
    select
        dimension,
        member,
        events,
        violation_events,
        sum(events) over (partition by dimension) - events as rest_events,
        sum(violation_events) over (partition by dimension) - violation_events
            as rest_violation_events,
        {{ ratio(
            'sum(violation_events) over (partition by dimension)',
            'sum(events) over (partition by dimension)'
        ) }} as pooled_rate
    from member_counts
),

differences as (
    select
        *,
        {{ ratio('violation_events', 'events') }} as violation_rate,
        {{ ratio('violation_events', 'events') }}
        - {{ ratio('rest_violation_events', 'rest_events') }} as rate_difference,
        sqrt(
            pooled_rate * (1 - pooled_rate)
            * (1 / cast(events as double) + {{ ratio('1', 'rest_events') }})
        ) as standard_error
    from compared
),

-- Pooled two-proportion z test: as it stands, and corrected for the clustering by user.
scored as (
    select
        differences.*,
        associations.design_effect,
        associations.degrees_of_freedom,
        associations.verdict as dimension_verdict,
        differences.standard_error * sqrt(associations.design_effect) as clustered_error,
        differences.rate_difference / nullif(differences.standard_error, 0) as z,
        differences.rate_difference
        / nullif(differences.standard_error * sqrt(associations.design_effect), 0) as clustered_z
    from differences
    inner join associations on differences.dimension = associations.dimension
),

tested as (
    select
        *,
        {{ normal_two_sided_p('z') }} as p_value,
        {{ normal_two_sided_p('clustered_z') }} as clustered_p_value
    from scored
),

steps as (
    select
        *,
        {{ holm_step('clustered_p_value', ties='member', family='dimension') }} as holm_step,
        count(clustered_p_value) over (partition by dimension) as family_size
    from tested
),

adjusted as (
    select
        *,
        {{ holm_adjusted('holm_step', 'clustered_p_value', ties='member', family='dimension') }}
            as p_adjusted,
        1 - {{ var('alpha') }} / (2.0 * greatest(family_size, 1)) as member_level
    from steps
),

-- The critical values of the smallest p-value among the members, and of the dimension among all.
powered as (
    select
        *,
        {{ normal_quantile('member_level') }} as critical_z,
        {%- if further %}
            case
                when dimension in ({{ text_list(further) }})
                    then {{ chi_square_quantile(further_z, 'degrees_of_freedom') }}
                else {{ chi_square_quantile(dimension_z, 'degrees_of_freedom') }}
            end as critical_chi_square
        {%- else %}
            {{ chi_square_quantile(dimension_z, 'degrees_of_freedom') }} as critical_chi_square
        {%- endif %}
    from adjusted
),

-- How many standard errors the member's test and the dimension's test each ask for; and the
-- error at the higher rate that would then be seen, which is larger than at the pooled one.
demanded as (
    select
        *,
        greatest(
            critical_z,
            sqrt({{ detectable_noncentrality(
                'critical_chi_square', 'degrees_of_freedom', power_z
            ) }}) - {{ power_z }}
        ) as demanded_errors
    from powered
),

alternatives as (
    select
        *,
        least(
            pooled_rate + (demanded_errors + {{ power_z }}) * clustered_error,
            greatest(pooled_rate, 0.5)
        ) as higher_rate
    from demanded
),

errors as (
    select
        *,
        sqrt(design_effect * (
            higher_rate * (1 - higher_rate) / events
            + pooled_rate * (1 - pooled_rate) / nullif(rest_events, 0)
        )) as alternative_error
    from alternatives
),

judged as (
    select
        dimension,
        member,
        events,
        violation_events,
        violation_rate,
        {{ wilson_low('violation_events', 'events', confidence_z) }} as violation_rate_low,
        {{ wilson_high('violation_events', 'events', confidence_z) }} as violation_rate_high,
        rate_difference,
        case
            when clustered_error > 0
                then greatest(
                    demanded_errors * clustered_error,
                    {{ var('minimum_effect_percentage_points') }} / 100.0
                ) + {{ power_z }} * alternative_error
        end as detectable_difference,
        p_value,
        p_adjusted,
        {{ member_verdict(
            rarer_events('events', 'pooled_rate'),
            rarer_events('rest_events', 'pooled_rate'),
            'dimension_verdict',
            'p_adjusted',
            'rate_difference'
        ) }} as verdict
    from errors
)

select * from judged
