{% set counted = ['events', 'compliant_events', 'warning_events', 'violation_events'] %}

with daily_counts as (
    select * from {{ ref('int_daily_member_counts') }}
),

further_members as (
    select * from {{ ref('int_further_members') }}
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

member_days as (
    select
        daily_counts.dimension,
        coalesce(further_members.member, daily_counts.member) as member,
        daily_counts.stratum,
        coalesce(control_chart.is_out_of_control, false) as is_unusual_day,
        {%- for column in counted %}
            daily_counts.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from daily_counts
    inner join control_chart on daily_counts.event_date = control_chart.event_date
    left join further_members
        on
            daily_counts.dimension = further_members.dimension
            and daily_counts.member = further_members.raw_value
),

counts as (
    select
        dimension,
        member,
        stratum,
        {%- for column in counted %}
            cast(sum({{ column }}) as bigint) as {{ column }},
        {%- endfor %}
        {%- for column in counted if column != 'compliant_events' %}
            cast(sum(case when is_unusual_day then 0 else {{ column }} end) as bigint)
                as usual_{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from member_days
    group by dimension, member, stratum
)

select * from counts
