{% set confidence_z = confidence_z() %}
{% set has_lone_events = may_be_missing('user_id') and not column_named('user_id').is_absent %}

with known_members as (
    select * from {{ ref('int_members') }}
),

event_counts as (
    select * from {{ ref('int_member_counts') }}
),

users as (
    select * from {{ ref('dim_users') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
),

days as (
    select
        'event_date' as dimension,
        {{ as_text('event_date') }} as member,
        is_partial_day
    from {{ ref('int_days') }}
),

tier_counts as (
    select
        'risk_tier' as dimension,
        risk_tier as member,
        cast(sum(events) as bigint) as events,
        cast(sum(events - warning_events - violation_events) as bigint) as compliant_events,
        cast(sum(warning_events) as bigint) as warning_events,
        cast(sum(violation_events) as bigint) as violation_events,
        count(*) as users
    from users
    group by risk_tier
),

{%- if has_lone_events %}

    -- Events without a user are in no tier.
    lone_counts as (
        select
            'risk_tier' as dimension,
            'unknown' as member,
            cast(count(*) as bigint) as events,
            cast(count(*) filter (where status = 'compliant') as bigint) as compliant_events,
            cast(count(*) filter (where status = 'warning') as bigint) as warning_events,
            cast(count(*) filter (where status = 'violation') as bigint) as violation_events,
            0 as users
        from {{ ref('int_accepted_events') }}
        where user_id is null
        having count(*) > 0
    ),
{%- endif %}

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

    select * from tier_counts
    {%- if has_lone_events %}

        union all

        select * from lone_counts
    {%- endif %}
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
        {{ wilson_low('counts.violation_events', 'counts.events', confidence_z) }}
            as violation_rate_low,
        {{ wilson_high('counts.violation_events', 'counts.events', confidence_z) }}
            as violation_rate_high,
        tests.rate_difference,
        tests.detectable_difference,
        tests.p_value,
        tests.p_adjusted,
        case
            -- Tiers are made from the very violations that a test would compare.
            when members.dimension = 'risk_tier' or {{ is_unknown_member('members.member') }}
                then cast(null as {{ dbt.type_string() }})
            -- The data begins or ends inside such a day.
            when days.is_partial_day then 'too_few'
            else coalesce(tests.verdict, 'too_few')
        end as verdict,
        members.display_order
    from members
    left join counts on members.dimension = counts.dimension and members.member = counts.member
    left join tests on members.dimension = tests.dimension and members.member = tests.member
    left join days on members.dimension = days.dimension and members.member = days.member
)

select * from measures
