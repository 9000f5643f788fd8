-- How do the event types compare?
select
    event_type,
    events,
    compliant_rate,
    warning_rate,
    violation_rate,
    violation_rate_low,
    violation_rate_high,
    verdict
from {{ ref('compliance_by_event_type') }}
order by events desc, event_type asc
