with dimensions as (
    select * from {{ ref('dimensions') }}
),

associations as (
    select * from {{ ref('violation_associations') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
),

trend as (
    select * from {{ ref('violation_trend') }}
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

users as (
    select * from {{ ref('dim_users') }}
),

input_rows as (
    select * from {{ ref('int_input_rows') }}
),

quarantined_members as (
    select * from {{ ref('int_quarantined_members') }}
    where quarantined_share > {{ var('maximum_quarantined_share_of_member') }}
),

ranked_members as (
    select
        *,
        row_number() over (
            partition by dimension order by violation_rate desc, events desc, member asc
        ) as rank_from_highest,
        row_number() over (
            partition by dimension order by violation_rate asc, events desc, member asc
        ) as rank_from_lowest
    from tests
),

overviews as (
    select
        dimension,
        count(*) as members,
        {{ rarer_kind('sum(violation_events)', 'sum(events)') }} as rarer_kind,
        min(detectable_difference) as smallest,
        max(detectable_difference) as largest
    from tests
    group by dimension
),

dimension_findings as (
    select
        10 * dimensions.display_order as display_order,
        dimensions.dimension as topic,
        case
            when associations.verdict = 'differs'
                then 'The violation rate differs between ' || dimensions.plural || ': '
            when overviews.members = 1
                then 'There are too few ' || dimensions.plural || ' to compare: '
            when associations.verdict = 'too_few'
                then
                    'There are too few ' || overviews.rarer_kind || ' to compare '
                    || dimensions.plural || ': '
            else
                'The data shows no evidence that the violation rate differs between '
                || dimensions.plural || ': '
        end
        || 'the highest observed is ' || highest.member || ' with '
        || {{ rate_with_interval(
            'highest.violation_rate', 'highest.violation_rate_low', 'highest.violation_rate_high',
            'highest.events'
        ) }}
        || ', the lowest ' || lowest.member || ' with '
        || {{ rate_with_interval(
            'lowest.violation_rate', 'lowest.violation_rate_low', 'lowest.violation_rate_high',
            'lowest.events'
        ) }}
        || coalesce(
            case
                when associations.verdict = 'no_evidence'
                    then
                        '; with {{ percent_of_var("power") }} power a difference of '
                        || {{ percentage_points('overviews.smallest') }}
                        || ' or more would have been seen in the largest '
                        || dimensions.singular || ' and of '
                        || {{ percentage_points('overviews.largest') }}
                        || ' in the smallest'
            end,
            ''
        )
        || '.' as finding,
        associations.verdict,
        highest.violation_rate - lowest.violation_rate as effect,
        associations.p_adjusted
    from dimensions
    inner join associations on dimensions.dimension = associations.dimension
    inner join ranked_members as highest
        on dimensions.dimension = highest.dimension and highest.rank_from_highest = 1
    inner join ranked_members as lowest
        on dimensions.dimension = lowest.dimension and lowest.rank_from_lowest = 1
    inner join overviews on dimensions.dimension = overviews.dimension
),

-- Every member that differs, and every level of data sharing.
member_findings as (
    select
        10 * dimensions.display_order + 1 as display_order,
        dimensions.dimension as topic,
        'The violation rate of ' || dimensions.singular || ' ' || tests.member || ' is '
        || {{ rate_with_interval(
            'tests.violation_rate', 'tests.violation_rate_low', 'tests.violation_rate_high',
            'tests.events'
        ) }}
        || coalesce(
            ', ' || {{ percentage_points('abs(tests.rate_difference)') }}
            || case when tests.rate_difference < 0 then ' below' else ' above' end
            || ' that of all other events',
            ''
        )
        || case tests.verdict
            when 'differs' then ', more than chance explains'
            when 'too_few'
                then '; too few ' || overviews.rarer_kind || ' are expected to judge this'
            else coalesce(
                '; this is no evidence of a difference (with {{ percent_of_var("power") }} power '
                || 'one of ' || {{ percentage_points('tests.detectable_difference') }}
                || ' would have been seen)',
                '; this is no evidence of a difference'
            )
        end
        || '.' as finding,
        tests.verdict,
        tests.rate_difference as effect,
        tests.p_adjusted
    from tests
    inner join dimensions on tests.dimension = dimensions.dimension
    inner join overviews on tests.dimension = overviews.dimension
    where tests.verdict = 'differs' or tests.dimension = 'data_shared'
),

whole_days as (
    select
        count(*) filter (where is_out_of_control) as days_out_of_control,
        {{ rarer_kind('max(center_line)', '1') }} as rarer_kind
    from control_chart
),

trend_finding as (
    select
        {{ order_of_topic('trend') }} as display_order,
        'trend' as topic,
        {{ trend_sentence('trend', 'whole_days') }} as finding,
        trend.verdict,
        trend.change_per_week as effect,
        trend.p_adjusted
    from trend
    cross join whole_days
),

user_finding as (
    select
        {{ order_of_topic('high_risk_users') }} as display_order,
        'high_risk_users' as topic,
        case
            when count(*) filter (where risk_evidence = 'confirmed') > 0
                then
                    {{ whole_number("count(*) filter (where risk_evidence = 'confirmed')") }}
                    || ' of ' || {{ whole_number('count(*)') }}
                    || ' users have more violations than chance explains'
            else
                'The data shows no evidence that any of ' || {{ whole_number('count(*)') }}
                || ' users has more violations than chance explains'
        end
        || '; ' || {{ whole_number("count(*) filter (where risk_tier = 'high')") }}
        || ' are in the risk tier high by their observed rate alone, and '
        || {{ whole_number("count(*) filter (where risk_evidence = 'too_few_events')") }}
        || ' have so few events that no outcome could tell.' as finding,
        case
            when count(*) filter (where risk_evidence = 'confirmed') > 0 then 'differs'
            when count(*) = count(*) filter (where risk_evidence = 'too_few_events') then 'too_few'
            else 'no_evidence'
        end as verdict,
        max(case when risk_evidence = 'confirmed' then shrunk_violation_rate end) as effect,
        min(p_adjusted) as p_adjusted
    from users
),

input_finding as (
    select
        {{ order_of_topic('input_quality') }} as display_order,
        'input_quality' as topic,
        {{ input_sentence() }} as finding,
        cast(null as {{ dbt.type_string() }}) as verdict,
        quarantined_share as effect,
        cast(null as double) as p_adjusted
    from input_rows
),

member_input_findings as (
    select
        {{ order_of_topic('input_quality') }} + 1 as display_order,
        'input_quality' as topic,
        {{ member_input_sentence('quarantined_members', 'dimensions.singular') }} as finding,
        cast(null as {{ dbt.type_string() }}) as verdict,
        quarantined_members.quarantined_share as effect,
        cast(null as double) as p_adjusted
    from quarantined_members
    left join dimensions on quarantined_members.dimension = dimensions.dimension
),

findings as (
    select * from dimension_findings
    union all
    select * from member_findings
    union all
    select * from trend_finding
    union all
    select * from user_finding
    union all
    select * from input_finding
    union all
    select * from member_input_findings
),

numbered as (
    select
        cast(
            row_number() over (
                order by display_order asc, abs(effect) desc nulls last, finding asc
            ) as integer
        ) as display_order,
        topic,
        finding,
        verdict,
        effect,
        p_adjusted
    from findings
)

select * from numbered
