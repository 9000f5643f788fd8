{% set types = column_types(ref('base_compliance_events')) %}

with raw_events as (
    select * from {{ ref('base_compliance_events') }}
),

typed as (
    select
        {{ read_integer('raw_events.event_id', types.event_id) }} as event_id,
        {{ read_integer('raw_events.user_id', types.user_id) }} as user_id,
        {{ ascii_upper(read_text('raw_events.region')) }} as region,
        {{ ascii_upper(read_text('raw_events.regulation')) }} as regulation,
        {{ ascii_lower(read_text('raw_events.event_type')) }} as event_type,
        {{ ascii_lower(read_text('raw_events.status')) }} as status,
        {{ ascii_lower(read_text('raw_events.data_shared')) }} as data_shared,
        {{ read_integer('raw_events.user_age', types.user_age) }} as user_age,
        {{ read_integer('raw_events.concurrent_streams', types.concurrent_streams) }}
            as concurrent_streams,
        {{ read_number('raw_events.session_duration_minutes', types.session_duration_minutes) }}
            as session_duration_minutes,
        {{ read_timestamp('raw_events.timestamp', types.timestamp) }} as occurred_at,
        raw_events.event_id as raw_event_id,
        raw_events.timestamp as raw_timestamp,
        raw_events.user_id as raw_user_id,
        raw_events.region as raw_region,
        raw_events.regulation as raw_regulation,
        raw_events.event_type as raw_event_type,
        raw_events.status as raw_status,
        raw_events.user_age as raw_user_age,
        raw_events.session_duration_minutes as raw_session_duration_minutes,
        raw_events.concurrent_streams as raw_concurrent_streams,
        raw_events.data_shared as raw_data_shared
    from raw_events
),

-- Builds go day by day; rows whose moment cannot be read share one day, too.
dated as (
    select
        *,
        coalesce(cast(occurred_at as date), cast('1900-01-01' as date)) as source_date
    from typed
)

select * from dated
