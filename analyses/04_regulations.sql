-- How often is each regulation violated, most often first?
select
    regulation,
    compliant_events,
    violation_events,
    warning_events,
    violation_rate
from {{ ref('compliance_by_regulation') }}
order by violation_rate desc nulls last, regulation asc
