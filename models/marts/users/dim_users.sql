with daily_totals as (
    select * from {{ ref('int_daily_user_totals') }}
),

violation_tests as (
    select * from {{ ref('int_user_violation_tests') }}
),

totals as (
    select
        user_id,
        min_by(user_age, first_event_id) as user_age,
        cast(sum(events) as bigint) as events,
        cast(sum(violation_events) as bigint) as violation_events,
        cast(sum(warning_events) as bigint) as warning_events,
        {{ ratio(
            exact_sum('session_duration_minutes'), 'sum(events_with_duration)'
        ) }}
            as average_session_duration_minutes,
        {{ ratio('sum(concurrent_streams)', 'sum(events_with_streams)') }}
            as average_concurrent_streams,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at
    from daily_totals
    group by user_id
),

rated as (
    select
        *,
        {{ ratio('violation_events', 'events') }} as violation_rate
    from totals
),

-- Users with the same outcome share their p-value, so it is adjusted once for all of them.
outcomes as (
    select
        events,
        violation_events,
        count(*) as users
    from rated
    group by events, violation_events
),

tested as (
    select
        outcomes.*,
        violation_tests.p_value,
        violation_tests.smallest_possible_p_value,
        {{ benjamini_hochberg_step(
            'violation_tests.p_value', ties='outcomes.events, outcomes.violation_events',
            copies='outcomes.users'
        ) }} as bh_step
    from outcomes
    inner join violation_tests
        on
            outcomes.events = violation_tests.events
            and outcomes.violation_events = violation_tests.violation_events
),

adjusted as (
    select
        *,
        {{ benjamini_hochberg_adjusted('bh_step', 'p_value', ties='events, violation_events') }}
            as p_adjusted
    from tested
),

{{ shrinkage_ctes('rated') }},

users as (
    select
        rated.user_id,
        rated.user_age,
        rated.events,
        rated.violation_events,
        rated.warning_events,
        rated.violation_rate,
        rated.average_session_duration_minutes,
        rated.average_concurrent_streams,
        rated.first_event_at,
        rated.last_event_at,
        {{ risk_tier('rated.violation_rate') }} as risk_tier,
        adjusted.p_value,
        adjusted.p_adjusted,
        {{ shrunk_rate('rated.violation_rate', 'rated.events') }} as shrunk_violation_rate,
        {{ risk_evidence(
            'adjusted.smallest_possible_p_value', 'adjusted.p_value', 'adjusted.p_adjusted',
            'rated.violation_rate - shrinkage.overall_rate'
        ) }} as risk_evidence
    from rated
    inner join adjusted
        on
            rated.events = adjusted.events
            and rated.violation_events = adjusted.violation_events
    cross join shrinkage
)

select * from users
