with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'data_shared'
),

breakdown as (
    select
        members.member as data_shared,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
