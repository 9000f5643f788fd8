with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'weekday'
),

breakdown as (
    select
        members.member as weekday,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
