{{ require_columns(ref('raw_compliance_events'), raw_event_columns()) }}

with raw_events as (
    select * from {{ ref('raw_compliance_events') }}
),

typed as (
    select
        {{ read_integer('event_id') }} as event_id,
        {{ read_integer('user_id') }} as user_id,
        upper({{ strip_blanks('region') }}) as region,
        upper({{ strip_blanks('regulation') }}) as regulation,
        lower({{ strip_blanks('event_type') }}) as event_type,
        lower({{ strip_blanks('status') }}) as status,
        lower({{ strip_blanks('data_shared') }}) as data_shared,
        {{ read_integer('user_age') }} as user_age,
        {{ read_integer('concurrent_streams') }} as concurrent_streams,
        {{ read_number('session_duration_minutes') }} as session_duration_minutes,
        {{ read_timestamp('raw_events.timestamp') }} as occurred_at,
        {%- for column in raw_event_columns() %}
        raw_events.{{ column }} as raw_{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from raw_events
)

select * from typed
