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
        source_date,
        count(*) as raw_rows,
        -- What lies in the future today will not tomorrow.
        count(*) filter (where occurred_at > {{ latest_timestamp() }}) as future_rows,
        {{ checksum(raw_event_columns('raw_')) }} as rows_checksum
    from events
    group by source_date
),

fingerprinted as (
    select
        days.source_date,
        days.raw_rows,
        md5(concat_ws(
            ' ',
            cast(days.source_date as {{ dbt.type_string() }}),
            cast(days.raw_rows as {{ dbt.type_string() }}),
            cast(days.future_rows as {{ dbt.type_string() }}),
            days.rows_checksum,
            known_members.members_checksum,
            '{{ event_rules() }}'
        )) as fingerprint
    from days
    cross join known_members
)

select * from fingerprinted
