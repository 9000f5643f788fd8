with regions as (
    select region from {{ ref('regions') }}
    union
    select 'unknown' as region
),

regulations as (
    select regulation from {{ ref('regulations') }}
    union
    select 'unknown' as regulation
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
        on members.member = regions.region || ' / ' || regulations.regulation
)

select * from breakdown
