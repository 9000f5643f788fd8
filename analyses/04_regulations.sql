-- How often is each regulation violated, most often first?
select
    regulation,
    compliant_events,
    violation_events,
    warning_events,
    violation_rate,
    violation_rate_low,
    violation_rate_high,
    verdict
from {{ ref('compliance_by_regulation') }}
order by violation_rate desc nulls last, regulation asc
