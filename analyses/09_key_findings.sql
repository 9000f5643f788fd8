-- What the data supports, and what it does not.
select
    topic,
    finding,
    verdict,
    p_adjusted
from {{ ref('key_findings') }}
order by display_order
