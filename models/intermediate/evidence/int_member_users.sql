{# Where fewer rows than the events themselves tell the events of each user. #}
{% set counted_in = {
    'region': 'user_places',
    'regulation': 'user_places',
    'region_and_regulation': 'user_places',
    'age_band': 'user_places',
    'weekday': 'event_date_users',
} %}
{% set place_columns = [] %}
{% for dimension in tested_dimensions() if counted_in.get(dimension.dimension) == 'user_places' %}
    {% do place_columns.extend(dimension.columns | reject('in', place_columns) | list) %}
{% endfor %}
{% set has_lone_events = may_be_missing('user_id') %}

-- depends_on: {{ ref('int_further_members') }}
-- Events are named in each dimension that is not counted by user elsewhere, because engines would
-- keep a shared CTE of all in memory. Those without a user count together, as the user null.
with
-- Almost every user has one region, one regulation and one age: several dimensions from one pass.
user_places as (
    select
        {{ (['user_id'] + place_columns) | join(',\n        ') }},
        count(*) as events,
        count(*) filter (where is_violation) as violation_events,
        count(*) filter (where status = 'warning') as warning_events
    from {{ ref('int_accepted_events') }}
    group by {{ (['user_id'] + place_columns) | join(', ') }}
),

-- Which weekday it is, the day tells.
event_date_users as (
    select
        user_id,
        event_date,
        {{ weekday('event_date') }} as weekday,
        cast(events as double) as events,
        cast(violation_events as double) as violation_events,
        cast(warning_events as double) as warning_events
    from {{ ref('int_daily_user_totals') }}
    {%- if has_lone_events %}

        union all

        select
            user_id,
            event_date,
            {{ weekday('event_date') }} as weekday,
            cast(count(*) as double) as events,
            cast(count(*) filter (where is_violation) as double) as violation_events,
            cast(count(*) filter (where status = 'warning') as double) as warning_events
        from {{ ref('int_accepted_events') }}
        where user_id is null
        group by user_id, event_date
    {%- endif %}
),

{%- for dimension in tested_dimensions() if dimension.dimension != 'event_date' %}
    {%- set name = dimension.dimension %}
    {%- set columns = dimension.columns | join(', ') %}
    {%- set events = ref('int_accepted_events') %}
    {%- if dimension.is_further %}
        {%- set events = name ~ '_events' %}

    -- Rare values count together.
    {{ events }} as (
        select
            accepted_events.user_id,
            accepted_events.status,
            nullif(further_members.member, 'unknown') as {{ columns }}
        from {{ ref('int_accepted_events') }} as accepted_events
        left join {{ ref('int_further_members') }} as further_members
            on
                further_members.dimension = '{{ name }}'
                and accepted_events.{{ columns }} = further_members.raw_value
    ),
    {%- endif %}

    {{ name }}_users as (
        select
            user_id,
            {{ columns }},
            {%- if name in counted_in %}
                cast(sum(events) as double) as events,
                cast(sum(violation_events) as double) as violation_events,
                cast(sum(warning_events) as double) as warning_events
            {%- else %}
                cast(count(*) as double) as events,
                cast(count(*) filter (where status = 'violation') as double) as violation_events,
                cast(count(*) filter (where status = 'warning') as double) as warning_events
            {%- endif %}
        from {{ counted_in.get(name, events) }}
        group by user_id, {{ columns }}
    ),
{%- endfor %}

{%- for dimension in tested_dimensions() %}
    {%- set name = dimension.dimension %}
    {%- set columns = dimension.columns | join(', ') %}

    {{ name }}_members as (
        select
            {{ columns }},
            -- Rates of few binary digits make sums that doubles hold exactly, whatever the order of
            -- rows.
            {%- for outcome in outcomes() %}
                {%- set outcome_events = outcome ~ '_events' %}
                sum({{ outcome_events }}) as {{ outcome_events }},
                round(sum({{ outcome_events }}) / sum(events) * {{ 2 ** 36 }}) / {{ 2 ** 36 }}
                    as {{ outcome }}_rate,
                {{ residuals_of_sums(
                    'sum(' ~ outcome_events ~ ') / sum(events)',
                    sum_over_clusters(outcome_events, outcome_events),
                    sum_over_clusters(outcome_events, 'events'),
                    sum_over_clusters('events', 'events')
                ) }} as {{ outcome }}_squares,
            {%- endfor %}
            {{ sum_over_clusters('events', 'events') }} as squared_events,
            sum(events) as events,
            count(user_id) as users
        from {{ name }}_users
        group by {{ columns }}
    ),

    -- How far a user's outcomes lie from those that the rates of the members would give. Events of
    -- an unknown member take no part.
    {{ name }}_residuals as (
        select
            {%- for outcome in outcomes() %}
                sum(users.{{ outcome }}_events - users.events * members.{{ outcome }}_rate)
                    as {{ outcome }}_residual,
            {%- endfor %}
            sum(users.events) as events
        from {{ name }}_users as users
        inner join {{ name }}_members as members
            on
                {%- for column in dimension.columns %}
                    {{ 'and ' if not loop.first }}users.{{ column }} = members.{{ column }}
                {%- endfor %}
        where users.user_id is not null
        group by users.user_id
    ),
{%- endfor %}

members as (
    {%- for dimension in tested_dimensions() %}
        select
            '{{ dimension.dimension }}' as dimension,
            {{ member_text(dimension.columns) }} as member,
            users,
            {%- for outcome in outcomes() %}
                {{ clustered_variance(outcome ~ '_squares', 'events', 'squared_events') }}
                    as {{ outcome }}_variance,
            {%- endfor %}
            events * events / squared_events as effective_users
        from {{ dimension.dimension }}_members
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

squares as (
    {%- for dimension in tested_dimensions() %}
        {%- set name = dimension.dimension %}
        select
            '{{ name }}' as dimension,
            {%- for outcome in outcomes() %}
                {{ exact_sum(outcome ~ '_residual * ' ~ outcome ~ '_residual') }}
                    as {{ outcome }}_squares,
            {%- endfor %}
            sum(events) as events,
            sum(events * events) as squared_events
        from {{ name }}_residuals
        {%- if has_lone_events %}

            -- Each without a user lies 1 - rate or -rate from it.
            union all

            select
                '{{ name }}' as dimension,
                {%- for outcome in outcomes() %}
                    {{ exact_sum(
                        'users.' ~ outcome ~ '_events'
                        ~ ' * (1 - 2 * members.' ~ outcome ~ '_rate)'
                        ~ ' + users.events * power(members.' ~ outcome ~ '_rate, 2)'
                    ) }} as {{ outcome }}_squares,
                {%- endfor %}
                sum(users.events) as events,
                sum(users.events) as squared_events
            from {{ name }}_users as users
            inner join {{ name }}_members as members
                on
                    {%- for column in dimension.columns %}
                        {{ 'and ' if not loop.first }}users.{{ column }} = members.{{ column }}
                    {%- endfor %}
            where users.user_id is null
        {%- endif %}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

overall as (
    select
        dimension,
        {%- for outcome in outcomes() %}
            {{ clustered_variance(
                'sum(' ~ outcome ~ '_squares)', 'sum(events)', 'sum(squared_events)'
            ) }} as {{ outcome }}_variance,
        {%- endfor %}
        sum(events) * sum(events) / sum(squared_events) as effective_users
    from squares
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
