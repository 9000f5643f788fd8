with regions as (
    select * from {{ ref('regions') }}
),

regulations as (
    select * from {{ ref('regulations') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'region_and_regulation'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'region_and_regulation'
),

measures as (
    select
        regions.region,
        regulations.regulation,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }}
    from regions
    cross join regulations
    left join counts
        on counts.member = {{ region_and_regulation('regions.region', 'regulations.regulation') }}
    left join tests
        on tests.member = {{ region_and_regulation('regions.region', 'regulations.regulation') }}
)

select * from measures
