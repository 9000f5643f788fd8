{# Where fewer rows than the events themselves tell the events of each user. #}
{% set counted_in = {
    'region': 'user_places',
    'regulation': 'user_places',
    'region_and_regulation': 'user_places',
    'age_band': 'user_places',
    'event_date': ref('int_daily_user_totals'),
    'weekday': '(select *, ' ~ weekday('event_date') ~ ' as weekday from '
        ~ ref('int_daily_user_totals') ~ ') as user_days',
} %}
{% set place_columns = [] %}
{% for dimension in tested_dimensions() if counted_in.get(dimension.dimension) == 'user_places' %}
    {% do place_columns.extend(dimension.columns | reject('in', place_columns) | list) %}
{% endfor %}
{% set has_lone_events = may_be_missing('user_id') %}

-- depends_on: {{ ref('int_further_members') }}
-- Events are named in each dimension that is not counted by user elsewhere, because engines would
-- keep a shared CTE of all in memory.
with
-- Almost every user has one region, one regulation and one age: several dimensions from one pass.
user_places as (
    select
        {{ (['user_id'] + place_columns) | join(',\n        ') }},
        count(*) as events,
        count(*) filter (where is_violation) as violation_events,
        count(*) filter (where status = 'warning') as warning_events
    from {{ ref('int_accepted_events') }}
    where user_id is not null
    group by {{ (['user_id'] + place_columns) | join(', ') }}
),

{%- for dimension in tested_dimensions() %}
    {%- set columns = dimension.columns | join(', ') %}
    {%- set counted = counted_in.get(dimension.dimension) %}
    {%- set events = ref('int_accepted_events') %}
    {%- if dimension.is_further %}
        {%- set events = dimension.dimension ~ '_events' %}

    -- Rare values count together.
    {{ events }} as (
        select
            accepted_events.user_id,
            accepted_events.event_id,
            accepted_events.status,
            nullif(further_members.member, 'unknown') as {{ columns }}
        from {{ ref('int_accepted_events') }} as accepted_events
        left join {{ ref('int_further_members') }} as further_members
            on
                further_members.dimension = '{{ dimension.dimension }}'
                and accepted_events.{{ columns }} = further_members.raw_value
    ),
    {%- endif %}

    {{ dimension.dimension }}_users as (
        select
            user_id,
            {{ columns }},
            {%- if has_lone_events %}
                cast(null as {{ column_named('event_id').type }}) as lone_event_id,
            {%- endif %}
            {%- if counted %}
                cast(sum(events) as double) as events,
                cast(sum(violation_events) as double) as violation_events,
                cast(sum(warning_events) as double) as warning_events
            {%- else %}
                cast(count(*) as double) as events,
                cast(count(*) filter (where status = 'violation') as double) as violation_events,
                cast(count(*) filter (where status = 'warning') as double) as warning_events
            {%- endif %}
        from {{ counted or events }}
        where user_id is not null
        group by user_id, {{ columns }}
        {%- if has_lone_events %}

            -- Of an event without a user nobody knows which others it belongs to.
            union all

            select
                user_id,
                {{ columns }},
                event_id as lone_event_id,
                cast(1 as double) as events,
                cast(case when status = 'violation' then 1 else 0 end as double)
                    as violation_events,
                cast(case when status = 'warning' then 1 else 0 end as double) as warning_events
            from {{ events }}
            where user_id is null
        {%- endif %}
    ),

    {{ dimension.dimension }}_members as (
        select
            {{ columns }},
            count(user_id) as users,
            sum(events) * sum(events) / sum(events * events) as effective_users,
            round(sum(violation_events) / sum(events) * {{ 2 ** 36 }}) / {{ 2 ** 36 }}
                as violation_rate,
            round(sum(warning_events) / sum(events) * {{ 2 ** 36 }}) / {{ 2 ** 36 }}
                as warning_rate,
            {{ clustered_variance(squared_residuals('violation_events', 'events'), 'events') }}
                as violation_variance,
            {{ clustered_variance(squared_residuals('warning_events', 'events'), 'events') }}
                as warning_variance
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
            effective_users,
            violation_variance,
            warning_variance
        from {{ dimension.dimension }}_members
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- How far a user's outcomes lie from those that the rates of the members would give. Events of an
-- unknown member take no part. Rates of few binary digits make sums that doubles hold exactly,
-- whatever the order of rows.
residuals as (
    {%- for dimension in tested_dimensions() %}
        select
            '{{ dimension.dimension }}' as dimension,
            sum(users.violation_events - users.events * members.violation_rate)
                as violation_residual,
            sum(users.warning_events - users.events * members.warning_rate) as warning_residual,
            sum(users.events) as events
        from {{ dimension.dimension }}_users as users
        inner join {{ dimension.dimension }}_members as members
            on
                {%- for column in dimension.columns %}
                    {{ 'and ' if not loop.first }}users.{{ column }} = members.{{ column }}
                {%- endfor %}
        group by users.user_id{{ ', users.lone_event_id' if has_lone_events }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

overall as (
    select
        dimension,
        sum(events) * sum(events) / sum(events * events) as effective_users,
        {{ clustered_variance(exact_sum('violation_residual * violation_residual'), 'events') }}
            as violation_variance,
        {{ clustered_variance(exact_sum('warning_residual * warning_residual'), 'events') }}
            as warning_variance
    from residuals
    group by dimension
),

measured as (
    select
        members.dimension,
        members.member,
        members.users,
        members.effective_users,
        members.violation_variance,
        members.warning_variance,
        overall.effective_users as dimension_effective_users,
        overall.violation_variance as dimension_violation_variance,
        overall.warning_variance as dimension_warning_variance
    from members
    left join overall on members.dimension = overall.dimension
)

select * from measured
