{# Where fewer rows than the events themselves tell the events of each user. #}
{% set counted_in = {
    'region': 'user_places',
    'regulation': 'user_places',
    'region_and_regulation': 'user_places',
    'event_date': ref('int_daily_user_totals'),
} %}

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

{%- for dimension in tested_dimensions() %}
    {%- set columns = dimension.columns | join(', ') %}
    {%- set counted = counted_in.get(dimension.dimension) %}

    {{ dimension.dimension }}_users as (
        select
            user_id,
            {{ columns }},
            {%- if counted %}
                cast(sum(events) as double) as events,
                cast(sum(violation_events) as double) as violation_events
            {%- else %}
                cast(count(*) as double) as events,
                cast(count(*) filter (where is_violation) as double) as violation_events
            {%- endif %}
        from {{ counted or ref('int_accepted_events') }}
        group by user_id, {{ columns }}
    ),

    {{ dimension.dimension }}_members as (
        select
            {{ columns }},
            count(*) as users,
            sum(violation_events) / sum(events) as violation_rate,
            {{ clustered_variance(squared_residuals('violation_events', 'events'), 'events') }}
                as variance
        from {{ dimension.dimension }}_users
        group by {{ columns }}
    ),
{%- endfor %}

members as (
    {%- for dimension in tested_dimensions() %}
        select
            '{{ dimension.dimension }}' as dimension,
            {{ member_text(dimension.columns) }} as member,
            users,
            variance
        from {{ dimension.dimension }}_members
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- How far a user's violations lie from those that the rates of the members would give.
residuals as (
    {%- for dimension in tested_dimensions() %}
        select
            '{{ dimension.dimension }}' as dimension,
            sum(users.violation_events - users.events * members.violation_rate) as residual,
            sum(users.events) as events
        from {{ dimension.dimension }}_users as users
        inner join {{ dimension.dimension }}_members as members
            on
                {%- for column in dimension.columns %}
                    {{ 'and ' if not loop.first }}users.{{ column }} = members.{{ column }}
                {%- endfor %}
        group by users.user_id
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

overall as (
    select
        dimension,
        {{ clustered_variance('sum(residual * residual)', 'events') }} as variance
    from residuals
    group by dimension
),

measured as (
    select
        members.dimension,
        members.member,
        members.users,
        members.variance,
        overall.variance as dimension_variance
    from members
    inner join overall on members.dimension = overall.dimension
)

select * from measured
