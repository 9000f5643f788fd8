-- How do the events split into compliant, warning and violation?
select
    status,
    events,
    event_share
from {{ ref('compliance_by_status') }}
order by display_order
