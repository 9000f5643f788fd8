with users as (
    select * from {{ ref('dim_users') }}
),

-- The smallest p-value first; the user id makes the order total.
ranked as (
    select
        *,
        row_number() over (
            order by
                p_adjusted asc nulls last,
                p_value asc nulls last,
                shrunk_violation_rate desc nulls last,
                events desc,
                user_id asc
        ) as risk_rank
    from users
),

top_users as (
    select
        cast(risk_rank as integer) as risk_rank,
        user_id,
        user_age,
        events,
        violation_events,
        warning_events,
        violation_rate,
        average_session_duration_minutes,
        average_concurrent_streams,
        first_event_at,
        last_event_at,
        risk_tier,
        p_value,
        p_adjusted,
        shrunk_violation_rate,
        risk_evidence
    from ranked
    where risk_rank <= {{ var('top_risk_users') }}
)

select * from top_users
