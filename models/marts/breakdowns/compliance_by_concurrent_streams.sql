with events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'concurrent_streams'
),

counts as (
    select
        concurrent_streams,
        {{ count_compliance_events() }}
    from events
    group by concurrent_streams
),

measures as (
    select
        counts.concurrent_streams,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }}
    from counts
    left join tests on tests.member = cast(counts.concurrent_streams as {{ dbt.type_string() }})
)

select * from measures
