{% set most = 5 %}

with dimensions as (
    select * from {{ ref('dimensions') }}
),

tests as (
    select
        tests.*,
        dimensions.singular,
        dimensions.plural,
        dimensions.member_columns,
        dimensions.display_order,
        {{ member_in_words('tests.dimension', 'dimensions.singular', 'tests.member') }}
            as member_name,
        case when tests.rate_difference < 0 then 'below' else 'above' end as side
    from {{ ref('outcome_tests') }} as tests
    inner join dimensions on tests.dimension = dimensions.dimension
    where tests.verdict in ('differs', 'explained_by_mix')
),

unusual_days as (
    select * from {{ ref('unusual_days') }}
    where kind = 'out of control'
),

days_out_of_control as (
    select {{ as_text('event_date') }} as member
    from {{ ref('violation_control_chart') }}
    where is_out_of_control
),

-- A combination that has all events of one of its parts is the same events by another name.
same_events as (
    select
        parts.dimension,
        parts.member,
        parts.outcome,
        min(wholes.dimension || ' ' || wholes.member) as events_key
    from tests as parts
    inner join tests as wholes
        on
            parts.outcome = wholes.outcome
            and parts.verdict = wholes.verdict
            and parts.events = wholes.events
            and parts.dimension <> wholes.dimension
            and ',' || wholes.member_columns || ',' like '%,' || parts.member_columns || ',%'
            and ' / ' || wholes.member || ' / ' like '% / ' || parts.member || ' / %'
    group by parts.dimension, parts.member, parts.outcome
),

grouped as (
    select
        tests.*,
        coalesce(same_events.events_key, tests.dimension || ' ' || tests.member) as events_key,
        days_out_of_control.member is not null as is_unusual_day
    from tests
    left join same_events
        on
            tests.dimension = same_events.dimension
            and tests.member = same_events.member
            and tests.outcome = same_events.outcome
    left join days_out_of_control
        on
            tests.dimension = 'event_date'
            and tests.outcome = 'violation'
            and tests.member = days_out_of_control.member
),

-- The same events are told once, where they come first; unusual days have a sentence of their own.
told as (
    select
        *,
        row_number() over (
            partition by outcome, verdict, events_key order by display_order
        ) = 1 and not is_unusual_day as is_told_here
    from grouped
),

other_names as (
    select
        outcome,
        verdict,
        events_key,
        replace({{ alphabetical_list('member_name') }}, ',', ' and ') as member_names
    from told
    where not is_told_here and not is_unusual_day
    group by outcome, verdict, events_key
),

ranked as (
    select
        *,
        row_number() over (
            partition by dimension, outcome, is_told_here
            order by abs(rate_difference) desc, member asc
        ) as place
    from told
),

sentences as (
    select
        ranked.dimension,
        ranked.member,
        ranked.outcome,
        ranked.display_order,
        'The ' || ranked.outcome || ' rate of ' || ranked.member_name || ' is '
        || {{ percentage_points('ranked.rate_difference') }} || ' ' || ranked.side
        || ' that of the other ' || ranked.plural
        || case
            when ranked.verdict = 'explained_by_mix'
                then
                    ' because of its mix of ' || {{ mix_in_words('ranked.dimension') }}
                    || '; within the mix it is not'
            when not ranked.differs_without_unusual_days and ranked.dimension <> 'event_date'
                then
                    coalesce(
                        '; without ' || unusual_days.day_names || ' this would not be claimed', ''
                    )
            else ''
        end
        || '.' as finding,
        'The rate is '
        || {{ rate_with_interval(
            'ranked.outcome_rate', 'ranked.outcome_rate_low', 'ranked.outcome_rate_high',
            'ranked.events'
        ) }}
        || '.'
        || coalesce(
            ' With the same mix of ' || {{ mix_in_words('ranked.dimension') }} || ' it would be '
            || {{ percentage_points('ranked.adjusted_difference') }}
            || case when ranked.adjusted_difference < 0 then ' below' else ' above' end
            || ' the others.',
            ''
        )
        || coalesce(' These are also all events of ' || other_names.member_names || '.', '')
            as detail,
        ranked.verdict,
        ranked.rate_difference as effect,
        ranked.p_adjusted,
        ranked.is_told_here,
        ranked.is_told_here and ranked.place <= {{ most }} as is_shown
    from ranked
    left join unusual_days on true
    left join other_names
        on
            ranked.outcome = other_names.outcome
            and ranked.verdict = other_names.verdict
            and ranked.events_key = other_names.events_key
            and ranked.is_told_here
)

select * from sentences
