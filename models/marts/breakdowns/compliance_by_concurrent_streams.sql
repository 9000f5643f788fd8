with tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'concurrent_streams'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'concurrent_streams'
),

measures as (
    select
        cast(counts.member as bigint) as concurrent_streams,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }}
    from counts
    left join tests on counts.member = tests.member
)

select * from measures
