{% set confidence_z = confidence_z() %}

with risk_tiers as (
    select * from {{ ref('risk_tiers') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

users as (
    select * from {{ ref('dim_users') }}
),

events_with_tier as (
    select
        users.risk_tier,
        events.user_id,
        events.status
    from events
    inner join users on events.user_id = users.user_id
),

counts as (
    select
        risk_tier,
        {{ count_compliance_events() }}
    from events_with_tier
    group by risk_tier
),

measures as (
    select
        risk_tiers.risk_tier,
        {{ compliance_measures('counts') }},
        {{ wilson_low('counts.violation_events', 'counts.events', confidence_z) }}
            as violation_rate_low,
        {{ wilson_high('counts.violation_events', 'counts.events', confidence_z) }}
            as violation_rate_high,
        -- Tiers are made from the very violations that a test would compare.
        cast(null as double) as rate_difference,
        cast(null as double) as detectable_difference,
        cast(null as double) as p_value,
        cast(null as double) as p_adjusted,
        cast(null as {{ dbt.type_string() }}) as verdict,
        risk_tiers.display_order
    from risk_tiers
    left join counts on risk_tiers.risk_tier = counts.risk_tier
)

select * from measures
