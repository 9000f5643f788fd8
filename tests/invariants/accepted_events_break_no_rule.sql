{{ config(meta={'keep_unchanged': true}) }}

-- Whether members are known, other tests tell.
select
    {%- for column in event_columns() if column.kind != 'attribute' %}
        events.{{ column.value }},
    {%- endfor %}
    events.is_violation,
    events.event_hour,
    events.event_date
from {{ ref('fct_compliance_events') }} as events
where
    {%- for column in event_columns() %}
        {{ 'events.' ~ column.value ~ ' is null or' if column.is_required }}
        {%- for rule in column.get('rules', []) if rule.bounds %}
            {{ lies_beyond('events.' ~ column.value, rule) }} or
        {%- endfor %}
    {%- endfor %}
    events.is_violation is null
    or events.is_violation <> (events.status = 'violation')
    or events.event_hour is null
    or events.event_hour <> extract(hour from events.occurred_at)
    or events.event_date is null
    or events.event_date <> cast(events.occurred_at as date)
    or not coalesce(events.weekday = {{ weekday('events.occurred_at') }}, false)
    or (events.age_band is null) <> (events.user_age is null)
