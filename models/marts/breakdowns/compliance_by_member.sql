with known_members as (
    select * from {{ ref('int_members') }}
),

event_counts as (
    select * from {{ ref('int_member_counts') }}
),

tier_counts as (
    select * from {{ ref('int_tier_counts') }}
),

rates as (
    select * from {{ ref('int_outcome_rates') }}
    where outcome = 'violation'
),

warning_rates as (
    select * from {{ ref('int_outcome_rates') }}
    where outcome = 'warning'
),

tests as (
    select * from {{ ref('outcome_tests') }}
    where outcome = 'violation'
),

warning_tests as (
    select * from {{ ref('outcome_tests') }}
    where outcome = 'warning'
),

counts as (
    select
        dimension,
        member,
        events,
        compliant_events,
        warning_events,
        violation_events,
        users
    from event_counts

    union all

    select
        'risk_tier' as dimension,
        member,
        events,
        compliant_events,
        warning_events,
        violation_events,
        users
    from tier_counts
),

last_members as (
    select
        dimension,
        max(display_order) as display_order
    from known_members
    group by dimension
),

-- What is missing comes last, where there is such.
members as (
    select
        dimension,
        member,
        display_order
    from known_members

    union all

    select
        counts.dimension,
        counts.member,
        cast(coalesce(last_members.display_order, 0) + row_number() over (
            partition by counts.dimension order by counts.member
        ) as integer) as display_order
    from counts
    left join last_members on counts.dimension = last_members.dimension
    where {{ is_unknown_member('counts.member') }}
),

-- Zero where a member has no events, and no rate there.
measures as (
    select
        members.dimension,
        members.member,
        coalesce(counts.events, 0) as events,
        coalesce(counts.compliant_events, 0) as compliant_events,
        coalesce(counts.warning_events, 0) as warning_events,
        coalesce(counts.violation_events, 0) as violation_events,
        coalesce(counts.users, 0) as users,
        {{ ratio(
            'coalesce(counts.events, 0)', 'sum(counts.events) over (partition by members.dimension)'
        ) }} as event_share,
        {{ ratio('counts.compliant_events', 'counts.events') }} as compliant_rate,
        {{ ratio('counts.warning_events', 'counts.events') }} as warning_rate,
        {{ ratio('counts.violation_events', 'counts.events') }} as violation_rate,
        rates.effective_events,
        rates.outcome_rate_low as violation_rate_low,
        rates.outcome_rate_high as violation_rate_high,
        warning_rates.outcome_rate_low as warning_rate_low,
        warning_rates.outcome_rate_high as warning_rate_high,
        tests.rate_difference,
        tests.detectable_difference,
        tests.p_value,
        tests.p_adjusted,
        tests.p_adjusted_daily,
        tests.adjusted_difference,
        tests.adjusted_p_value,
        -- Tiers are made from the very violations that a test would compare.
        case
            when members.dimension <> 'risk_tier' and not {{ is_unknown_member('members.member') }}
                then coalesce(tests.verdict, 'too_few')
        end as verdict,
        tests.differs_without_unusual_days,
        case
            when members.dimension <> 'risk_tier' and not {{ is_unknown_member('members.member') }}
                then coalesce(warning_tests.verdict, 'too_few')
        end as warning_verdict,
        members.display_order
    from members
    left join counts on members.dimension = counts.dimension and members.member = counts.member
    left join rates on members.dimension = rates.dimension and members.member = rates.member
    left join warning_rates
        on members.dimension = warning_rates.dimension and members.member = warning_rates.member
    left join tests on members.dimension = tests.dimension and members.member = tests.member
    left join warning_tests
        on members.dimension = warning_tests.dimension and members.member = warning_tests.member
)

select * from measures
