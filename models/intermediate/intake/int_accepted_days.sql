-- With too many rejected rows nothing is built from the others: the quarantine is checked first.
-- depends_on: {{ ref('quarantine_by_rejection_reason') }}
with events as (
    select * from {{ ref('int_checked_events') }}
),

days as (
    select distinct
        source_date as event_date,
        fingerprint
    from events
)

select * from days
