{% set has_lone_events = may_be_missing('user_id') and not column_named('user_id').is_absent %}

with users as (
    select
        risk_tier,
        cast(events as double) as events,
        cast(events - warning_events - violation_events as double) as compliant_events,
        cast(warning_events as double) as warning_events,
        cast(violation_events as double) as violation_events
    from {{ ref('dim_users') }}
),

tiers as (
    select
        risk_tier as member,
        cast(sum(events) as bigint) as events,
        cast(sum(compliant_events) as bigint) as compliant_events,
        cast(sum(warning_events) as bigint) as warning_events,
        cast(sum(violation_events) as bigint) as violation_events,
        count(*) as users,
        {{ clustered_variance(
            squared_residuals('violation_events', 'events'), 'sum(events)', 'sum(events * events)'
        ) }}
            as violation_variance,
        {{ clustered_variance(
            squared_residuals('warning_events', 'events'), 'sum(events)', 'sum(events * events)'
        ) }}
            as warning_variance
    from users
    group by risk_tier
    {%- if has_lone_events %}

        -- Events without a user are in no tier; each is a cluster of its own.
        union all

        select
            'unknown' as member,
            count(*) as events,
            count(*) filter (where status = 'compliant') as compliant_events,
            count(*) filter (where status = 'warning') as warning_events,
            count(*) filter (where status = 'violation') as violation_events,
            0 as users,
            cast(null as double) as violation_variance,
            cast(null as double) as warning_variance
        from {{ ref('int_accepted_events') }}
        where user_id is null
        having count(*) > 0
    {%- endif %}
)

select * from tiers
