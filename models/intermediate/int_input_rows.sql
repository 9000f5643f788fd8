with raw_rows as (
    select cast(coalesce(sum(raw_rows), 0) as bigint) as raw_rows
    from {{ ref('int_source_days') }}
),

judged_rows as (
    select
        count(*) filter (where rejection_reasons is null) as accepted_rows,
        count(*) filter (where rejection_reasons is not null) as quarantined_rows,
        cast(coalesce(sum(copies - 1), 0) as bigint) as exact_copies_dropped
    from {{ ref('int_judged_events') }}
),

counted as (
    select
        raw_rows.raw_rows,
        judged_rows.accepted_rows,
        judged_rows.quarantined_rows,
        judged_rows.exact_copies_dropped,
        {{ ratio('judged_rows.quarantined_rows', 'raw_rows.raw_rows') }} as quarantined_share
    from raw_rows
    cross join judged_rows
)

select * from counted
