with strata as (
    select * from {{ ref('int_member_strata') }}
),

users as (
    select * from {{ ref('int_member_users') }}
),

counts as (
    select
        dimension,
        member,
        {%- for column in [
            'events', 'compliant_events', 'warning_events', 'violation_events',
            'usual_events', 'usual_warning_events', 'usual_violation_events',
        ] %}
            cast(sum({{ column }}) as bigint) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from strata
    group by dimension, member
),

members as (
    select
        counts.*,
        users.users
    from counts
    inner join users on counts.dimension = users.dimension and counts.member = users.member
)

select * from members
