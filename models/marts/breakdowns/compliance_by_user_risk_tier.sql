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
        risk_tiers.display_order
    from risk_tiers
    left join counts on risk_tiers.risk_tier = counts.risk_tier
)

select * from measures
