-- The notebook's five "high-risk users": the highest observed rates, ties by user id.
-- A pick among dozens of users with one event and one violation; no evidence of risk.
with ranked_users as (
    select
        *,
        row_number() over (order by violation_rate desc, user_id asc) as position_in_list
    from {{ ref('dim_users') }}
)

select
    user_id,
    events,
    violation_events,
    violation_rate,
    user_age
from ranked_users
where position_in_list <= 5
order by position_in_list
