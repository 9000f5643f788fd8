with events as (
    select * from {{ ref('int_accepted_events') }}
),

counts as (
    {% for dimension, member in tested_dimensions().items() %}
    select
        '{{ dimension }}' as dimension,
        {{ member }} as member,
        count(*) as events,
        count(*) filter (where is_violation) as violation_events
    from events
    group by {{ member }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from counts
