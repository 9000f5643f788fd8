with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'regulation'
),

breakdown as (
    select
        members.member as regulation,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
