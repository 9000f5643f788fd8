{% test breakdown_adds_up(model, events, dimensions=none) %}
{%- set absent = event_columns() | selectattr('is_absent') | list %}

with breakdown as (
    select * from {{ model }}
),

totals as (
    {%- if dimensions %}
    select
        coalesce(sum(breakdown.events), 0) as breakdown_events,
        sum(breakdown.event_share) as breakdown_share
    from {{ dimensions }} as dimensions
    left join breakdown on dimensions.dimension = breakdown.dimension
    where not dimensions.is_absent
    group by dimensions.dimension
    {%- else %}
    select
        coalesce(sum(events), 0) as breakdown_events,
        sum(event_share) as breakdown_share
    from breakdown
    {%- endif %}
),

expected as (
    select count(*) as fact_events from {{ events }}
)

select
    'the events of all rows are not those of the fact, or the shares do not sum to 1' as problem,
    totals.breakdown_events as events,
    expected.fact_events as expected_events,
    totals.breakdown_share as event_share,
    cast(null as double) as violation_rate
from totals
cross join expected
where
    {%- if absent %}
    -- A breakdown of what the platform does not have is empty.
    (select count(*) from breakdown) > 0 and
    {%- endif %}
    (
        totals.breakdown_events <> expected.fact_events
        or not coalesce(abs(totals.breakdown_share - 1) <= 1e-9, expected.fact_events = 0)
    )

union all

select
    'the statuses of the row do not sum to its events' as problem,
    events,
    compliant_events + warning_events + violation_events as expected_events,
    event_share,
    violation_rate
from breakdown
where not coalesce(events = compliant_events + warning_events + violation_events, false)

union all

select
    'the rates of the row do not sum to 1, or are not null without events' as problem,
    events,
    cast(null as bigint) as expected_events,
    event_share,
    violation_rate
from breakdown
where
    (events > 0 and abs(coalesce(compliant_rate + warning_rate + violation_rate, 0) - 1) > 1e-9)
    or (events > 0 and abs(violation_rate * events - violation_events) > 1e-6)
    or (events = 0 and coalesce(compliant_rate, warning_rate, violation_rate) is not null)

union all

select
    'the row has more users than events, or events without users' as problem,
    events,
    users as expected_events,
    event_share,
    violation_rate
from breakdown
where
    not coalesce(
        users <= events
        and (users > 0 or events = 0 or (select count(*) from {{ events }} where user_id is null) > 0),
        false
    )

{% endtest %}
