with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'age_band'
),

breakdown as (
    select
        members.member as age_band,
        {{ breakdown_columns('members') }},
        members.display_order
    from members
)

select * from breakdown
