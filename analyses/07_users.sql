-- Session duration against violation rate and age, one row a user (for a scatter plot).
select
    user_id,
    average_session_duration_minutes,
    violation_rate,
    user_age,
    risk_tier
from {{ ref('dim_users') }}
order by user_id
