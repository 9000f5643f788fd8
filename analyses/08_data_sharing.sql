-- How does the amount of shared data go with violations, and how far is each level from none?
select
    data_shared,
    events,
    compliant_rate,
    warning_rate,
    violation_rate,
    violation_rate_low,
    violation_rate_high,
    verdict,
    violation_rate
    - max(case when data_shared = 'none' then violation_rate end) over ()
        as violation_rate_minus_none
from {{ ref('compliance_by_data_sharing') }}
order by display_order
