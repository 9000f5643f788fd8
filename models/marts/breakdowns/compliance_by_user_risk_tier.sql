{% set confidence_z = confidence_z() %}

with risk_tiers as (
    select * from {{ ref('risk_tiers') }}
),

users as (
    select * from {{ ref('dim_users') }}
),

counts as (
    select
        risk_tier,
        cast(sum(events) as bigint) as events,
        cast(sum(events - warning_events - violation_events) as bigint) as compliant_events,
        cast(sum(warning_events) as bigint) as warning_events,
        cast(sum(violation_events) as bigint) as violation_events,
        count(*) as users
    from users
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
