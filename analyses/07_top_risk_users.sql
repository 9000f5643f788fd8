-- The users with the strongest evidence of risk, in place of the notebook's highest rates.
select
    risk_rank,
    user_id,
    events,
    violation_events,
    shrunk_violation_rate,
    p_value,
    p_adjusted,
    risk_evidence
from {{ ref('top_risk_users') }}
order by risk_rank
