with raw_rows as (
    select count(*) as raw_rows from {{ ref('stg_compliance_events') }}
),

exact_copies as (
    select coalesce(sum(copies - 1), 0) as exact_copies_dropped
    from {{ ref('int_repeated_event_ids') }}
    where not is_conflicting
),

checked_rows as (
    select
        count(*) filter (where rejection_reasons is null) as accepted_rows,
        count(*) filter (where rejection_reasons is not null) as quarantined_rows
    from {{ ref('int_compliance_events_checked') }}
),

counted as (
    select
        raw_rows.raw_rows,
        checked_rows.accepted_rows,
        checked_rows.quarantined_rows,
        cast(exact_copies.exact_copies_dropped as bigint) as exact_copies_dropped,
        {{ ratio('checked_rows.quarantined_rows', 'raw_rows.raw_rows') }} as quarantined_share
    from raw_rows
    cross join exact_copies
    cross join checked_rows
)

select * from counted
