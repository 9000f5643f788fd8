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

days as (
    select
        events.source_date,
        count(*) as raw_rows,
        known_members.members_checksum,
        {{ day_fingerprint('known_members.members_checksum') }} as fingerprint
    from events
    cross join known_members
    group by events.source_date, known_members.members_checksum
)

select * from days
