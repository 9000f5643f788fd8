with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'concurrent_streams'
),

breakdown as (
    select
        cast(members.member as bigint) as concurrent_streams,
        {{ breakdown_columns('members') }}
    from members
)

select * from breakdown
