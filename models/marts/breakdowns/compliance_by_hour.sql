with hours as (
    select cast(generated_number - 1 as integer) as event_hour
    from ({{ dbt.generate_series(24) }}) as series
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

tests as (
    select * from {{ ref('violation_tests') }}
    where dimension = 'event_hour'
),

counts as (
    select
        event_hour,
        {{ count_compliance_events() }}
    from events
    group by event_hour
),

measures as (
    select
        hours.event_hour,
        {{ compliance_measures('counts') }},
        {{ violation_test_columns('tests') }}
    from hours
    left join counts on hours.event_hour = counts.event_hour
    left join tests on tests.member = cast(hours.event_hour as {{ dbt.type_string() }})
)

select * from measures
