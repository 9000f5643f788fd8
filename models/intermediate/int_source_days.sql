with events as (
    select * from {{ ref('stg_compliance_events') }}
),

-- A member that becomes known, or is known no more, changes what is accepted.
known_members as (
    select {{ checksum(['dimension', 'member']) }} as members_checksum
    from (
        select
            'region' as dimension,
            region as member
        from {{ ref('regions') }}
        union all
        select
            'regulation' as dimension,
            regulation as member
        from {{ ref('regulations') }}
        union all
        select
            'event_type' as dimension,
            event_type as member
        from {{ ref('event_types') }}
        union all
        select
            'status' as dimension,
            status as member
        from {{ ref('statuses') }}
        union all
        select
            'data_shared' as dimension,
            data_shared as member
        from {{ ref('data_sharing_levels') }}
    ) as members
),

-- Rows of other days can share an id with one of this day. All that is kept of these rows counts:
-- they are read before the others, and the source may change meanwhile.
repeated_rows as (
    select
        source_date,
        {{ checksum(raw_event_columns('raw_') + ['copies', 'versions']) }} as repeated_checksum
    from {{ ref('int_repeated_events') }}
    group by source_date
),

rows_of_days as (
    select
        source_date,
        count(*) as raw_rows,
        {{ rows_checksum() }} as rows_checksum
    from events
    group by source_date
),

circumstances_of_days as (
    select
        rows_of_days.source_date,
        rows_of_days.raw_rows,
        rows_of_days.rows_checksum,
        concat_ws(' ', known_members.members_checksum, repeated_rows.repeated_checksum)
            as circumstances
    from rows_of_days
    cross join known_members
    left join repeated_rows on rows_of_days.source_date = repeated_rows.source_date
),

days as (
    select
        source_date,
        raw_rows,
        circumstances,
        {{ day_fingerprint('source_date', 'rows_checksum', 'circumstances') }} as fingerprint
    from circumstances_of_days
)

select * from days
