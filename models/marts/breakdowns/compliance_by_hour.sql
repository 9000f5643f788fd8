with members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'event_hour'
),

breakdown as (
    select
        cast(members.member as integer) as event_hour,
        {{ breakdown_columns('members') }}
    from members
)

select * from breakdown
