with events as (
    select * from {{ ref('int_accepted_events') }}
),

counts as (
    {{ count_by_dimension('events') }}
)

select
    dimension,
    member,
    events,
    violation_events
from counts
