-- How many users are in each risk tier?
select
    risk_tier,
    users,
    events,
    violation_rate
from {{ ref('compliance_by_user_risk_tier') }}
order by display_order
