with dimensions as (
    select * from {{ ref('dimensions') }}
),

associations as (
    select * from {{ ref('outcome_associations') }}
    where outcome = 'violation' or verdict in ('differs', 'explained_by_mix')
),

tests as (
    select
        tests.*,
        {{ member_in_words('tests.dimension', 'dimensions.singular', 'tests.member') }}
            as member_name
    from {{ ref('outcome_tests') }} as tests
    inner join dimensions on tests.dimension = dimensions.dimension
),

compared_members as (
    select * from {{ ref('int_compared_members') }}
    where days = 'all'
),

member_sentences as (
    select * from {{ ref('member_sentences') }}
),

unusual_days as (
    select * from {{ ref('unusual_days') }}
    where kind = 'out of control'
),

-- What could be judged goes before what could not.
ranked_members as (
    select
        *,
        row_number() over (
            partition by dimension, outcome
            order by
                case when verdict = 'too_few' then 1 else 0 end,
                outcome_rate desc, events desc, member asc
        ) as rank_from_highest,
        row_number() over (
            partition by dimension, outcome
            order by
                case when verdict = 'too_few' then 1 else 0 end,
                outcome_rate asc, events desc, member asc
        ) as rank_from_lowest
    from tests
),

overviews as (
    select
        dimension,
        outcome,
        count(*) as members,
        count(*) filter (where verdict = 'differs') as different_members,
        min(detectable_difference) as smallest,
        max(detectable_difference) as largest,
        {{ ratio('sum(outcome_events)', 'sum(events)') }} as outcome_rate
    from tests
    group by dimension, outcome
),

told as (
    select
        dimension,
        outcome,
        count(*) filter (where is_told_here) as told_members,
        count(*) filter (where not is_told_here) as repeated_members,
        count(*) filter (where is_shown) as shown_members
    from member_sentences
    group by dimension, outcome
),

-- Of what there is too little: in more than a fifth of the members.
few as (
    select
        dimension,
        outcome,
        5 * count(*) filter (
            where effective_users < {{ var('minimum_effective_users') }}
        ) > count(*) as has_few_users,
        5 * count(*) filter (
            where least(events, rest_events) * rarer_rate < {{ var('minimum_expected_violations') }}
        ) > count(*) as has_few_events
    from compared_members
    group by dimension, outcome
),

described as (
    select
        associations.*,
        dimensions.display_order,
        dimensions.plural,
        {{ capitalised('dimensions.plural') }} as capitalised_plural,
        overviews.different_members,
        overviews.smallest,
        overviews.largest,
        overviews.outcome_rate,
        told.told_members,
        told.repeated_members,
        told.shown_members,
        case
            when overviews.members = 1 then dimensions.plural
            when few.has_few_users and few.has_few_events
                then
                    'users and '
                    || {{ rarer_kind('associations.outcome', 'overviews.outcome_rate') }}
            when few.has_few_users then 'users'
            else {{ rarer_kind('associations.outcome', 'overviews.outcome_rate') }}
        end as lacking,
        case
            when
                not associations.differs_without_unusual_days
                and dimensions.dimension <> 'event_date'
                then unusual_days.day_names
        end as days_that_decide
    from associations
    inner join dimensions on associations.dimension = dimensions.dimension
    inner join overviews
        on
            associations.dimension = overviews.dimension
            and associations.outcome = overviews.outcome
    inner join few
        on associations.dimension = few.dimension and associations.outcome = few.outcome
    left join told
        on associations.dimension = told.dimension and associations.outcome = told.outcome
    left join unusual_days on true
),

sentences as (
    select
        described.dimension,
        described.outcome,
        described.display_order,
        case
            when described.verdict = 'too_few'
                then
                    'There are too few ' || described.lacking || ' to compare'
                    || case when described.members > 1 then ' ' || described.plural else '' end
            when described.verdict = 'explained_by_mix'
                then
                    described.capitalised_plural || ' differ in their ' || described.outcome
                    || ' rate only by their mix of ' || {{ mix_in_words('described.dimension') }}
            when described.verdict = 'no_evidence' and {{ is_claimed('described.p_adjusted') }}
                then
                    described.capitalised_plural || ' differ in their ' || described.outcome
                    || ' rate, but none stands out from the others by enough to be named'
            when described.verdict = 'no_evidence'
                then
                    described.capitalised_plural || ' do not differ in their ' || described.outcome
                    || ' rate more than chance explains'
            else
                described.capitalised_plural || ' differ in their ' || described.outcome
                || ' rate more than chance explains'
                || coalesce(', but only with ' || described.days_that_decide, '')
                || case
                    when described.told_members = 0
                        then ', in the same events that other findings name'
                    else ''
                end
        end
        || '.' as finding,
        case
            when described.verdict in ('differs', 'explained_by_mix')
                then
                    {{ grouped_digits('described.different_members') }} || ' of '
                    || {{ grouped_digits('described.members') }} || ' ' || described.plural
                    || case
                        when described.different_members = 1 then ' differs' else ' differ'
                    end
                    || ' from the others. '
                    || case
                        when described.repeated_members > 0
                            then
                                {{ counted(
                                    'described.repeated_members', 'member has', 'members have'
                                ) }} || ' the events that another finding names. '
                        else ''
                    end
                    || case
                        when described.told_members > described.shown_members
                            then
                                'Named are the ' || {{ grouped_digits('described.shown_members') }}
                                || ' that differ most; all stand in outcome_tests. '
                        else ''
                    end
                    || '{{ limits_of_claims() }}'
            else
                'The highest observed is ' || highest.member_name || ' with '
                || {{ rate_with_interval(
                    'highest.outcome_rate', 'highest.outcome_rate_low', 'highest.outcome_rate_high',
                    'highest.events'
                ) }}
                || coalesce(
                    case
                        when highest.member <> lowest.member
                            then
                                ', the lowest ' || lowest.member_name || ' with '
                                || {{ rate_with_interval(
                                    'lowest.outcome_rate', 'lowest.outcome_rate_low',
                                    'lowest.outcome_rate_high', 'lowest.events'
                                ) }}
                    end,
                    ''
                )
                || coalesce(
                    case
                        when described.verdict = 'no_evidence'
                            then
                                '. With a probability of {{ percent_of_var("power") }}'
                                || ', a difference of '
                                || {{ percentage_points('described.smallest') }}
                                || ' would have been found where there are most events, and one of '
                                || {{ percentage_points('described.largest') }}
                                || ' where there are fewest'
                    end,
                    ''
                )
                || '.'
                || case
                    when described.verdict = 'too_few'
                        then
                            ' A member is judged by events of at least '
                            || '{{ var("minimum_effective_users") ~ nbsp() }}users and at least '
                            || '{{ var("minimum_expected_violations") ~ nbsp() }}expected '
                            || {{ rarer_kind('described.outcome', 'described.outcome_rate') }}
                            || '.'
                    else ''
                end
        end as detail,
        described.verdict,
        highest.outcome_rate - lowest.outcome_rate as effect,
        described.p_adjusted
    from described
    inner join ranked_members as highest
        on
            described.dimension = highest.dimension
            and described.outcome = highest.outcome
            and highest.rank_from_highest = 1
    inner join ranked_members as lowest
        on
            described.dimension = lowest.dimension
            and described.outcome = lowest.outcome
            and lowest.rank_from_lowest = 1
)

select * from sentences
