with raw_rows as (
    select cast(coalesce(sum(raw_rows), 0) as bigint) as raw_rows
    from {{ ref('int_source_days') }}
),

checked_rows as (
    select
        count(*) filter (where rejection_reasons is null) as accepted_rows,
        count(*) filter (where rejection_reasons is not null) as quarantined_rows,
        cast(coalesce(sum(copies - 1), 0) as bigint) as exact_copies_dropped
    from {{ ref('int_checked_events') }}
),

counted as (
    select
        raw_rows.raw_rows,
        checked_rows.accepted_rows,
        checked_rows.quarantined_rows,
        checked_rows.exact_copies_dropped,
        {{ ratio('checked_rows.quarantined_rows', 'raw_rows.raw_rows') }} as quarantined_share
    from raw_rows
    cross join checked_rows
)

select * from counted
