{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_source_days')) }}",
    partition_by=['source_date'] if target.type == 'spark' else none
) }}

{% set reason_columns = raw_event_columns('reasons.') | join('_reason, ') ~ '_reason' %}

with days as (
    {{ missing_days(ref('int_source_days')) }}
),

-- Taken again with the rows: a source that changes meanwhile must not pass for what it was.
rows_of_days as (
    select
        events.source_date,
        {{ rows_checksum('events.') }} as rows_checksum
    from {{ ref('stg_compliance_events') }} as events
    inner join days on events.source_date = days.source_date
    group by events.source_date
),

read_days as (
    select
        days.source_date,
        {{ built_fingerprint(
            day_fingerprint(
                'days.source_date', 'rows_of_days.rows_checksum', 'days.repeated_checksum'
            ),
            'days.rules'
        ) }} as fingerprint
    from rows_of_days
    inner join days on rows_of_days.source_date = days.source_date
),

repeated_events as (
    select * from {{ ref('int_repeated_events') }}
),

repeated_ids as (
    select distinct event_id from repeated_events
),

-- Of exact copies, one row is kept.
distinct_events as (
    select
        {{ staged_event_columns('events.') | join(',\n        ') }},
        1 as copies,
        1 as versions
    from {{ ref('stg_compliance_events') }} as events
    left join repeated_ids on events.event_id = repeated_ids.event_id
    where repeated_ids.event_id is null
    union all
    select
        {{ staged_event_columns() | join(',\n        ') }},
        copies,
        versions
    from repeated_events
),

-- The first reason of each column that applies.
reasons as (
    select
        events.*,
        read_days.fingerprint,
        case
            when
                events.event_id is null
                and {{ read_text('raw_event_id') }} is null
                then 'event_id_missing'
            when events.event_id is null then 'event_id_not_an_integer'
            when events.versions > 1 then 'event_id_conflicting'
        end as event_id_reason,
        case
            when
                events.occurred_at is null
                and {{ read_text('raw_timestamp') }} is null
                then 'timestamp_missing'
            when events.occurred_at is null then 'timestamp_unreadable'
            when events.occurred_at < {{ earliest_timestamp() }}
                then 'timestamp_too_early'
            when {{ is_in_future('events.occurred_at', 'events.raw_timestamp') }}
                then 'timestamp_in_future'
        end as timestamp_reason,
        case
            when
                events.user_id is null
                and {{ read_text('raw_user_id') }} is null
                then 'user_id_missing'
            when events.user_id is null then 'user_id_not_an_integer'
        end as user_id_reason,
        case
            when events.region is null then 'region_missing'
            when regions.region is null then 'region_unknown'
        end as region_reason,
        case
            when events.regulation is null then 'regulation_missing'
            when regulations.regulation is null then 'regulation_unknown'
        end as regulation_reason,
        case
            when events.event_type is null then 'event_type_missing'
            when event_types.event_type is null then 'event_type_unknown'
        end as event_type_reason,
        case
            when events.status is null then 'status_missing'
            when statuses.status is null then 'status_unknown'
        end as status_reason,
        case
            when
                events.user_age is null
                and {{ read_text('raw_user_age') }} is null
                then 'user_age_missing'
            when events.user_age is null then 'user_age_not_an_integer'
            when
                events.user_age < {{ var('minimum_user_age') }}
                or events.user_age > {{ var('maximum_user_age') }}
                then 'user_age_out_of_range'
        end as user_age_reason,
        case
            when
                events.session_duration_minutes is null
                and {{ read_text('raw_session_duration_minutes') }} is null
                then 'session_duration_minutes_missing'
            when events.session_duration_minutes is null
                then 'session_duration_minutes_not_a_number'
            -- nan counts as larger than infinity on every engine
            when
                events.session_duration_minutes >= cast('infinity' as double)
                or events.session_duration_minutes <= cast('-infinity' as double)
                then 'session_duration_minutes_not_finite'
            when events.session_duration_minutes < 0
                then 'session_duration_minutes_negative'
            when
                events.session_duration_minutes
                > {{ var('maximum_session_duration_minutes') }}
                then 'session_duration_minutes_too_long'
        end as session_duration_minutes_reason,
        case
            when
                events.concurrent_streams is null
                and {{ read_text('raw_concurrent_streams') }} is null
                then 'concurrent_streams_missing'
            when events.concurrent_streams is null
                then 'concurrent_streams_not_an_integer'
            when events.concurrent_streams < 1 then 'concurrent_streams_below_one'
            when events.concurrent_streams > {{ var('maximum_concurrent_streams') }}
                then 'concurrent_streams_too_many'
        end as concurrent_streams_reason,
        case
            when events.data_shared is null then 'data_shared_missing'
            when data_sharing_levels.data_shared is null then 'data_shared_unknown'
        end as data_shared_reason
    from distinct_events as events
    inner join read_days on events.source_date = read_days.source_date
    left join {{ ref('regions') }} as regions
        on events.region = regions.region
    left join {{ ref('regulations') }} as regulations
        on events.regulation = regulations.regulation
    left join {{ ref('event_types') }} as event_types
        on events.event_type = event_types.event_type
    left join {{ ref('statuses') }} as statuses
        on events.status = statuses.status
    left join {{ ref('data_sharing_levels') }} as data_sharing_levels
        on events.data_shared = data_sharing_levels.data_shared
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

-- Of rejected rows, raw text is kept where that of the value differs.
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
        {%- for column in raw_event_columns() %}
            {%- set value = 'occurred_at' if column == 'timestamp' else column %}
            case
                when rejection_reasons is not null
                    then nullif({{ as_text('raw_' ~ column) }}, {{ as_text(value) }})
            end as raw_{{ column }},
        {%- endfor %}
        fingerprint,
        source_date
    from checked
)

select * from stored
