-- The members of a dimension, and the variance of an event with users as clusters: of each member, and
-- over all of them. by_hand.py fills in what stands in braces; {counted} is a relation.

create or replace temp table user_members as
select user_id, {member} as member, sum(columns('events$'))::bigint
from {counted}
group by all;

{into}
with sums as (
    select
        member,
        sum(columns('events$'))::bigint,
        count(*) as users,
        sum(violation_events) / sum(events) as rate,
        sum(violation_events * violation_events)::double as squared_violations,
        sum(violation_events * events)::double as products,
        sum(events * events)::double as squared_events
    from user_members
    group by member
),

users as (
    select
        sum(user_members.violation_events - user_members.events * rate) as residual,
        sum(user_members.events)::double as events
    from user_members
    inner join sums using (member)
    group by user_id
),

overall as (
    select
        sum(residual * residual) / sum(events)
        / nullif(1 - sum(events * events) / power(sum(events), 2), 0) as dimension_variance
    from users
)

select
    '{dimension}' as dimension,
    * exclude (rate, squared_violations, products, squared_events) replace (member::varchar as member),
    -- The sum over users of (violations - events * rate)^2.
    (squared_violations - 2 * rate * products + rate * rate * squared_events) / events
    / nullif(1 - squared_events / events / events, 0) as variance
from sums
cross join overall;
