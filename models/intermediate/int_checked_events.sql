{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_source_days')) }}",
    partition_by=['source_date'] if target.type == 'spark' else none
) }}

{% set types = column_types(ref('stg_compliance_events')) %}
{% set reason_columns = raw_event_columns('reasons.') | join('_reason, ') ~ '_reason' %}

with days as (
    {{ missing_days(ref('int_source_days')) }}
),

-- Taken again with the rows: a source that changes meanwhile must not pass for what it was.
read_days as (
    select
        events.source_date,
        {{ day_fingerprint('days.members_checksum') }} as fingerprint
    from {{ ref('stg_compliance_events') }} as events
    inner join days on events.source_date = days.source_date
    group by events.source_date, days.members_checksum
),

repeated_event_ids as (
    select events.event_id
    from {{ ref('stg_compliance_events') }} as events
    inner join days on events.source_date = days.source_date
    where events.event_id is not null
    group by events.event_id
    having count(*) > 1
),

-- Staging is read twice, because engines would keep a shared CTE of all rows in memory.
unique_ids as (
    select
        events.*,
        read_days.fingerprint,
        1 as copies,
        1 as copy_number
    from {{ ref('stg_compliance_events') }} as events
    inner join read_days on events.source_date = read_days.source_date
    left join repeated_event_ids on events.event_id = repeated_event_ids.event_id
    where repeated_event_ids.event_id is null
),

repeated_ids as (
    select
        events.*,
        read_days.fingerprint,
        count(*) over (partition by {{ raw_event_columns('events.raw_') | join(', ') }}) as copies,
        row_number() over (
            partition by {{ raw_event_columns('events.raw_') | join(', ') }}
            order by events.event_id
        ) as copy_number
    from {{ ref('stg_compliance_events') }} as events
    inner join read_days on events.source_date = read_days.source_date
    inner join repeated_event_ids on events.event_id = repeated_event_ids.event_id
),

-- Of exact copies, which always lie in the same day, one row is kept.
deduplicated as (
    select * from unique_ids
    union all
    select * from repeated_ids
    where copy_number = 1
),

-- The first reason of each column that applies.
reasons as (
    select
        deduplicated.*,
        case
            when
                deduplicated.event_id is null
                and {{ read_text('raw_event_id') }} is null
                then 'event_id_missing'
            when deduplicated.event_id is null then 'event_id_not_an_integer'
        end as event_id_reason,
        case
            when
                deduplicated.occurred_at is null
                and {{ read_text('raw_timestamp') }} is null
                then 'timestamp_missing'
            when deduplicated.occurred_at is null then 'timestamp_unreadable'
            when deduplicated.occurred_at < {{ earliest_timestamp() }}
                then 'timestamp_too_early'
            when deduplicated.occurred_at > {{ latest_timestamp() }}
                then 'timestamp_in_future'
        end as timestamp_reason,
        case
            when
                deduplicated.user_id is null
                and {{ read_text('raw_user_id') }} is null
                then 'user_id_missing'
            when deduplicated.user_id is null then 'user_id_not_an_integer'
        end as user_id_reason,
        case
            when deduplicated.region is null then 'region_missing'
            when regions.region is null then 'region_unknown'
        end as region_reason,
        case
            when deduplicated.regulation is null then 'regulation_missing'
            when regulations.regulation is null then 'regulation_unknown'
        end as regulation_reason,
        case
            when deduplicated.event_type is null then 'event_type_missing'
            when event_types.event_type is null then 'event_type_unknown'
        end as event_type_reason,
        case
            when deduplicated.status is null then 'status_missing'
            when statuses.status is null then 'status_unknown'
        end as status_reason,
        case
            when
                deduplicated.user_age is null
                and {{ read_text('raw_user_age') }} is null
                then 'user_age_missing'
            when deduplicated.user_age is null then 'user_age_not_an_integer'
            when
                deduplicated.user_age < {{ var('minimum_user_age') }}
                or deduplicated.user_age > {{ var('maximum_user_age') }}
                then 'user_age_out_of_range'
        end as user_age_reason,
        case
            when
                deduplicated.session_duration_minutes is null
                and {{ read_text('raw_session_duration_minutes') }} is null
                then 'session_duration_minutes_missing'
            when deduplicated.session_duration_minutes is null
                then 'session_duration_minutes_not_a_number'
            -- nan counts as larger than infinity on every engine
            when
                deduplicated.session_duration_minutes >= cast('infinity' as double)
                or deduplicated.session_duration_minutes <= cast('-infinity' as double)
                then 'session_duration_minutes_not_finite'
            when deduplicated.session_duration_minutes < 0
                then 'session_duration_minutes_negative'
            when
                deduplicated.session_duration_minutes
                > {{ var('maximum_session_duration_minutes') }}
                then 'session_duration_minutes_too_long'
        end as session_duration_minutes_reason,
        case
            when
                deduplicated.concurrent_streams is null
                and {{ read_text('raw_concurrent_streams') }} is null
                then 'concurrent_streams_missing'
            when deduplicated.concurrent_streams is null
                then 'concurrent_streams_not_an_integer'
            when deduplicated.concurrent_streams < 1 then 'concurrent_streams_below_one'
        end as concurrent_streams_reason,
        case
            when deduplicated.data_shared is null then 'data_shared_missing'
            when data_sharing_levels.data_shared is null then 'data_shared_unknown'
        end as data_shared_reason
    from deduplicated
    left join {{ ref('regions') }} as regions
        on deduplicated.region = regions.region
    left join {{ ref('regulations') }} as regulations
        on deduplicated.regulation = regulations.regulation
    left join {{ ref('event_types') }} as event_types
        on deduplicated.event_type = event_types.event_type
    left join {{ ref('statuses') }} as statuses
        on deduplicated.status = statuses.status
    left join {{ ref('data_sharing_levels') }} as data_sharing_levels
        on deduplicated.data_shared = data_sharing_levels.data_shared
),

-- In the order of the columns of the file; text is put together for rejected rows only.
checked as (
    select
        reasons.*,
        case
            when coalesce({{ reason_columns }}) is not null
                then concat_ws(',', {{ reason_columns }})
        end as rejection_reasons
    from reasons
),

stored as (
    select
        event_id,
        user_id,
        region,
        regulation,
        event_type,
        status,
        data_shared,
        user_age,
        concurrent_streams,
        session_duration_minutes,
        occurred_at,
        rejection_reasons,
        cast(copies as bigint) as copies,
        {{ text_unless_same('raw_event_id', 'event_id', types, 'integer') }} as raw_event_id,
        {{ text_unless_same('raw_user_id', 'user_id', types, 'integer') }} as raw_user_id,
        {{ text_unless_same('raw_region', 'region') }} as raw_region,
        {{ text_unless_same('raw_regulation', 'regulation') }} as raw_regulation,
        {{ text_unless_same('raw_event_type', 'event_type') }} as raw_event_type,
        {{ text_unless_same('raw_status', 'status') }} as raw_status,
        {{ text_unless_same('raw_data_shared', 'data_shared') }} as raw_data_shared,
        {{ text_unless_same('raw_user_age', 'user_age', types, 'integer') }} as raw_user_age,
        {{ text_unless_same('raw_concurrent_streams', 'concurrent_streams', types, 'integer') }}
            as raw_concurrent_streams,
        {{ text_unless_same(
            'raw_session_duration_minutes', 'session_duration_minutes', types, 'double'
        ) }} as raw_session_duration_minutes,
        {{ text_unless_same('raw_timestamp', 'occurred_at', types, 'timestamp') }} as raw_timestamp,
        fingerprint,
        source_date
    from checked
)

select * from stored
