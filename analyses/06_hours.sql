-- How do traffic and violations follow the hour of the day (UTC)?
select
    event_hour,
    events,
    violation_events,
    violation_rate,
    violation_rate_low,
    violation_rate_high,
    verdict,
    event_hour = first_value(event_hour) over (order by events desc, event_hour asc)
        as is_peak_hour,
    event_hour
    = first_value(event_hour) over (order by violation_rate desc nulls last, event_hour asc)
        as has_highest_violation_rate
from {{ ref('compliance_by_hour') }}
order by event_hour
