with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'event_type'
),

breakdown as (
    select
        members.member as event_type,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
