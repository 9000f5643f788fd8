with regulations as (
    select * from {{ ref('regulations') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

counts as (
    select
        regulation,
        {{ count_compliance_events() }}
    from events
    group by regulation
),

measures as (
    select
        regulations.regulation,
        {{ compliance_measures('counts') }},
        regulations.display_order
    from regulations
    left join counts on regulations.regulation = counts.regulation
)

select * from measures
