with rows_of_days as (
    select
        source_date,
        cast(sum(raw_rows) as bigint) as raw_rows,
        {{ rows_checksum('sum(raw_rows)', 'sum(sum_of_hashes)', 'sum(future_rows)') }}
            as rows_checksum
    from {{ ref('int_source_file_days') }}
    group by source_date
),

-- Rows of other days can share an id with one of this day. All that is kept of these rows counts:
-- they are read before the others, and the source may change meanwhile.
repeated_rows as (
    select
        source_date,
        {{ repeated_checksum() }} as repeated_checksum
    from {{ ref('int_repeated_events') }}
    group by source_date
),

days as (
    select
        rows_of_days.source_date,
        rows_of_days.raw_rows,
        repeated_rows.repeated_checksum,
        {{ day_fingerprint(
            'rows_of_days.source_date',
            'rows_of_days.rows_checksum',
            'repeated_rows.repeated_checksum'
        ) }} as fingerprint
    from rows_of_days
    left join repeated_rows on rows_of_days.source_date = repeated_rows.source_date
)

select * from days
