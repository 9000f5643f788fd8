with counts as (
    {%- for dimension, parts in tested_dimensions().items() %}
        select
            user_id,
            '{{ dimension }}' as dimension,
            {{ parts.member }} as member,
            count(*) as events,
            count(*) filter (where is_violation) as violation_events
        from {{ ref('int_accepted_events') }}
        group by user_id, {{ parts.columns }}

        {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from counts
