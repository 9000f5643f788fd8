with raw_rows as (
    select cast(coalesce(sum(raw_rows), 0) as bigint) as raw_rows
    from {{ ref('int_source_days') }}
),

exact_copies as (
    select cast(coalesce(sum(copies - 1), 0) as bigint) as exact_copies_dropped
    from {{ ref('int_checked_events') }}
),

accepted_rows as (
    select count(*) as accepted_rows from {{ ref('int_accepted_events') }}
),

quarantined_rows as (
    select count(*) as quarantined_rows from {{ ref('quarantined_compliance_events') }}
),

counted as (
    select
        raw_rows.raw_rows,
        accepted_rows.accepted_rows,
        quarantined_rows.quarantined_rows,
        exact_copies.exact_copies_dropped,
        {{ ratio('quarantined_rows.quarantined_rows', 'raw_rows.raw_rows') }} as quarantined_share
    from raw_rows
    cross join exact_copies
    cross join accepted_rows
    cross join quarantined_rows
)

select * from counted
