with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'region'
),

breakdown as (
    select
        members.member as region,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
