-- How many streams run at once?
select
    concurrent_streams,
    events
from {{ ref('compliance_by_concurrent_streams') }}
order by concurrent_streams
