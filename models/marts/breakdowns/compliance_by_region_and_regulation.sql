with regions as (
    select * from {{ ref('regions') }}
),

regulations as (
    select * from {{ ref('regulations') }}
),

members as (
    select * from {{ ref('compliance_by_member') }}
    where dimension = 'region_and_regulation'
),

breakdown as (
    select
        regions.region,
        regulations.regulation,
        {{ breakdown_columns('members') }}
    from regions
    cross join regulations
    inner join members
        on members.member = {{ member_text(['regions.region', 'regulations.regulation']) }}
)

select * from breakdown
