with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'risk_tier'
),

breakdown as (
    select
        members.member as risk_tier,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
