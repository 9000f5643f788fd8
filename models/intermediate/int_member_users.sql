-- Events are named in each dimension that is not counted by user elsewhere, because engines would
-- keep a shared CTE of all in memory.
with
-- Almost every user has one region and one regulation: three dimensions from one pass.
user_places as (
    select
        user_id,
        region,
        regulation,
        count(*) as events,
        count(*) filter (where is_violation) as violation_events
    from {{ ref('int_accepted_events') }}
    group by user_id, region, regulation
),

{%- for dimension, parts in tested_dimensions().items() %}

    {{ dimension }}_users as (
    {%- set counted = {
        'region': 'user_places',
        'regulation': 'user_places',
        'region_and_regulation': 'user_places',
        'event_date': ref('int_daily_user_totals'),
    }.get(dimension) %}
        {%- if counted %}
            select
                user_id,
                {{ parts.columns }},
                cast(sum(events) as double) as events,
                cast(sum(violation_events) as double) as violation_events
            from {{ counted }}
            group by user_id, {{ parts.columns }}
        {%- else %}
            select
                user_id,
                {{ parts.columns }},
                cast(count(*) as double) as events,
                cast(count(*) filter (where is_violation) as double) as violation_events
            from {{ ref('int_accepted_events') }}
            group by user_id, {{ parts.columns }}
        {%- endif %}
    ),

    {{ dimension }}_members as (
        select
            {{ parts.columns }},
            count(*) as users,
            sum(violation_events) / sum(events) as violation_rate,
            {{ clustered_variance(squared_residuals('violation_events', 'events'), 'events') }}
                as variance
        from {{ dimension }}_users
        group by {{ parts.columns }}
    ),

    -- How far a user's violations lie from those that the rates of the members would give.
    {{ dimension }}_residuals as (
        select
            sum(users.violation_events - users.events * members.violation_rate) as residual,
            sum(users.events) as events
        from {{ dimension }}_users as users
        inner join {{ dimension }}_members as members
            on
                {%- for column in parts.columns.split(', ') %}
                    {{ 'and ' if not loop.first }}users.{{ column }} = members.{{ column }}
                {%- endfor %}
        group by users.user_id
    ),

    {{ dimension }}_overall as (
        select {{ clustered_variance('sum(residual * residual)', 'events') }} as variance
        from {{ dimension }}_residuals
    ),

    {{ dimension }}_rows as (
        select
            '{{ dimension }}' as dimension,
            {{ parts.member }} as member,
            {{ dimension }}_members.users,
            {{ dimension }}_members.variance,
            overall.variance as dimension_variance
        from {{ dimension }}_members
        cross join {{ dimension }}_overall as overall
    ),
{%- endfor %}

members as (
    {%- for dimension in tested_dimensions() %}
        select * from {{ dimension }}_rows
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}
)

select * from members
