-- What is missing is no member to compare.
with member_counts as (
    select * from {{ ref('int_member_counts') }}
    where not {{ is_unknown_member('member') }}
),

member_users as (
    select * from {{ ref('int_member_users') }}
),

design_effects as (
    select * from {{ ref('int_design_effects') }}
),

-- The data begins or ends inside these: their mix of hours is another.
partial_days as (
    select
        'event_date' as dimension,
        {{ as_text('event_date') }} as member
    from {{ ref('int_days') }}
    where is_partial_day
),

members as (
    {%- for outcome in outcomes() %}
        {%- set is_first = loop.first %}
        {%- for days, prefix in [('all', ''), ('usual', 'usual_')] %}
            {{ 'union all' if not (is_first and loop.first) }}
            select
                dimension,
                member,
                '{{ outcome }}' as outcome,
                '{{ days }}' as days,
                cast({{ prefix }}events as bigint) as events,
                {{ prefix ~ outcome }}_events as outcome_events
            from member_counts
            where {{ prefix }}events > 0
        {%- endfor %}
    {%- endfor %}
),

-- A member against all the rest.
compared as (
    select
        *,
        sum(events) over (partition by dimension, outcome, days) - events as rest_events,
        sum(outcome_events) over (partition by dimension, outcome, days) - outcome_events
            as rest_outcome_events,
        {{ ratio(
            'sum(outcome_events) over (partition by dimension, outcome, days)',
            'sum(events) over (partition by dimension, outcome, days)'
        ) }} as pooled_rate
    from members
),

differences as (
    select
        compared.dimension,
        compared.member,
        compared.outcome,
        compared.days,
        compared.events,
        compared.outcome_events,
        compared.rest_events,
        compared.pooled_rate,
        {{ ratio('compared.outcome_events', 'compared.events') }} as outcome_rate,
        {{ ratio('compared.outcome_events', 'compared.events') }}
        - {{ ratio('compared.rest_outcome_events', 'compared.rest_events') }} as rate_difference,
        sqrt(
            compared.pooled_rate * (1 - compared.pooled_rate)
            * (1 / cast(compared.events as double) + {{ ratio('1', 'compared.rest_events') }})
        ) as standard_error,
        least(compared.pooled_rate, 1 - compared.pooled_rate) as rarer_rate,
        member_users.effective_users,
        design_effects.design_effect,
        design_effects.denominator_degrees,
        partial_days.member is not null as is_partial_day
    from compared
    inner join member_users
        on
            compared.dimension = member_users.dimension
            and compared.member = member_users.member
    inner join design_effects
        on
            compared.dimension = design_effects.dimension
            and compared.outcome = design_effects.outcome
    left join partial_days
        on
            compared.dimension = partial_days.dimension
            and compared.member = partial_days.member
),

-- Few users are as little to go by as few events.
judgeable as (
    select
        *,
        events * rarer_rate >= 1 as is_countable,
        is_partial_day
        or effective_users < {{ var('minimum_effective_users') }}
        or least(events, rest_events) * rarer_rate < {{ var('minimum_expected_violations') }}
            as is_sparse,
        case
            when effective_users < {{ var('minimum_effective_users') }} then 2
            else
                case
                    when events * pooled_rate < {{ var('minimum_expected_violations') }} then 1
                    else 0
                end
                + case
                    when events * (1 - pooled_rate) < {{ var('minimum_expected_violations') }}
                        then 1
                    else 0
                end
        end as sparse_cells
    from differences
)

select * from judgeable
