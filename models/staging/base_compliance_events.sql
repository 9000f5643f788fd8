{% set source_events = raw_events() %}
{{ require_columns(source_events, source_columns()) }}

with source_events as (
    select * from {{ source_events }}
),

renamed as (
    select
        {{ source_column('event_id') }} as event_id,
        {{ source_column('timestamp') }} as timestamp,
        {{ source_column('user_id') }} as user_id,
        {{ source_column('region') }} as region,
        {{ source_column('regulation') }} as regulation,
        {{ source_column('event_type') }} as event_type,
        {{ source_column('status') }} as status,
        {{ source_column('user_age') }} as user_age,
        {{ source_column('session_duration_minutes') }} as session_duration_minutes,
        {{ source_column('concurrent_streams') }} as concurrent_streams,
        {{ source_column('data_shared') }} as data_shared
    from source_events
)

select * from renamed
