with daily_totals as (
    select
        user_id,
        cast(events as double) as events,
        cast(violation_events as double) as violation_events
    from {{ ref('int_daily_user_totals') }}
),

users as (
    select
        user_id,
        sum(events) as events,
        sum(violation_events) as violation_events,
        sum(events) - sum(events * events) / sum(events) as events_apart,
        {{ squared_residuals('violation_events', 'events') }} as squared_residuals
    from daily_totals
    group by user_id
),

-- How much more the days of one user differ than if all events were independent, as where a session
-- repeats the outcome of its first event; never less.
overall as (
    select
        {{ ratio('sum(violation_events)', 'sum(events)') }} as violation_rate,
        greatest(1.0, coalesce(
            {{ exact_sum('squared_residuals') }} / nullif({{ exact_sum(
                'violation_events * (events - violation_events) / events'
                ~ ' * events_apart / nullif(events - 1, 0)'
            ) }}, 0),
            1.0
        )) as dispersion
    from users
),

outcomes as (
    select distinct
        events,
        violation_events
    from users
),

-- The exact upper tail at as many events as are independent.
effective_outcomes as (
    select
        outcomes.events,
        outcomes.violation_events,
        overall.violation_rate,
        outcomes.events / overall.dispersion as effective_events,
        outcomes.violation_events / overall.dispersion as effective_violation_events
    from outcomes
    cross join overall
),

tests as (
    select
        *,
        {{ beta_of_binomial('effective_violation_events', 'effective_events', 'violation_rate') }}
    from effective_outcomes
),

{{ beta_node_ctes() }},

{{ beta_tail_ctes('tests', 'tails', keys='events, violation_events') }},

user_tests as (
    select
        cast(tests.events as bigint) as events,
        cast(tests.violation_events as bigint) as violation_events,
        tests.effective_events,
        case when tests.violation_events = 0 then 1.0 else tails.p_value end as p_value,
        power(tests.violation_rate, tests.effective_events) as smallest_possible_p_value
    from tests
    inner join tails
        on tests.events = tails.events and tests.violation_events = tails.violation_events
)

select * from user_tests
