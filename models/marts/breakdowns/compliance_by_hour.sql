with hours as (
    select cast(generated_number - 1 as integer) as event_hour
    from ({{ dbt.generate_series(24) }}) as series
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'event_hour'
),

counts as (
    select * from {{ ref('int_member_counts') }}
    where dimension = 'event_hour'
),

measures as (
    select
        hours.event_hour,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }}
    from hours
    left join counts on counts.member = {{ as_text('hours.event_hour') }}
    left join tests on tests.member = {{ as_text('hours.event_hour') }}
)

select * from measures
