-- With too many rejected rows nothing is built from the others: the quarantine is checked first.
-- depends_on: {{ ref('quarantine_by_rejection_reason') }}
with events as (
    select * from {{ ref('int_checked_events') }}
),

checked_days as (
    select distinct
        source_date,
        fingerprint
    from events
),

conflicting_event_ids as (
    select * from {{ ref('int_conflicting_event_ids') }}
),

-- Which events of a day are accepted hangs on the ids of all other days, too.
conflicts as (
    select
        events.source_date,
        {{ checksum(['events.event_id']) }} as conflicts_checksum
    from events
    inner join conflicting_event_ids on events.event_id = conflicting_event_ids.event_id
    group by events.source_date
),

fingerprinted as (
    select
        checked_days.source_date as event_date,
        md5(concat_ws(' ', checked_days.fingerprint, conflicts.conflicts_checksum)) as fingerprint
    from checked_days
    left join conflicts on checked_days.source_date = conflicts.source_date
)

select * from fingerprinted
