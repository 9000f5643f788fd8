{% set maximum = var('maximum_members_of_further_dimensions') %}

-- The values of further dimensions, and the members that they count under: the commonest their own.
with daily_counts as (
    select * from {{ ref('int_daily_member_counts') }}
    where dimension in ({{ text_list(further_dimensions() | map(attribute='dimension')) or "''" }})
),

counts as (
    select
        dimension,
        member as raw_value,
        sum(events) as events
    from daily_counts
    group by dimension, member
),

ranked as (
    select
        *,
        row_number() over (
            partition by dimension
            order by
                case when raw_value in ('unknown', 'other') then 0 else events end desc,
                raw_value asc
        ) as place
    from counts
),

members as (
    select
        dimension,
        raw_value,
        case when place <= {{ maximum }} or raw_value = 'unknown' then raw_value else 'other' end
            as member,
        case when place <= {{ maximum }} then place else {{ maximum }} + 1 end as display_order
    from ranked
)

select * from members
