with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'concurrent_streams'
),

breakdown as (
    select
        {{ dbt.safe_cast('members.member', 'bigint') }} as concurrent_streams,
        {{ breakdown_columns('members') }}
    from members
)

select * from breakdown
