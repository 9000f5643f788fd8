-- How do the regions compare? The highest observed rate is no evidence of a difference.
select
    region,
    events,
    compliant_rate,
    warning_rate,
    violation_rate,
    violation_rate_low,
    violation_rate_high,
    verdict,
    region = first_value(region) over (order by violation_rate desc nulls last, region asc)
        as has_highest_violation_rate,
    region = first_value(region) over (order by compliant_rate desc nulls last, region asc)
        as has_highest_compliant_rate
from {{ ref('compliance_by_region') }}
order by region
