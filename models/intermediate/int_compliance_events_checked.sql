with events as (
    select * from {{ ref('stg_compliance_events') }}
),

repeated_event_ids as (
    select * from {{ ref('int_repeated_event_ids') }}
),

-- Of exact copies one row is kept; of conflicting copies every row, to be quarantined.
deduplicated as (
    select
        events.*,
        coalesce(repeated_event_ids.is_conflicting, false) as is_conflicting
    from events
    left join repeated_event_ids on events.event_id = repeated_event_ids.event_id
    where repeated_event_ids.event_id is null or repeated_event_ids.is_conflicting

    union all

    select distinct
        events.*,
        false as is_conflicting
    from events
    inner join repeated_event_ids on events.event_id = repeated_event_ids.event_id
    where not repeated_event_ids.is_conflicting
),

-- The first reason of each column that applies; the order of the columns is that of the file.
checked as (
    select
        deduplicated.*,
        nullif(substring(
            case
                when {{ read_text('raw_event_id') }} is null then ',event_id_missing'
                when deduplicated.event_id is null then ',event_id_not_an_integer'
                when deduplicated.is_conflicting then ',event_id_conflicting'
                else ''
            end
            || case
                when {{ read_text('raw_timestamp') }} is null then ',timestamp_missing'
                when deduplicated.occurred_at is null then ',timestamp_unreadable'
                when deduplicated.occurred_at < {{ earliest_timestamp() }}
                    then ',timestamp_too_early'
                when deduplicated.occurred_at > {{ latest_timestamp() }}
                    then ',timestamp_in_future'
                else ''
            end
            || case
                when {{ read_text('raw_user_id') }} is null then ',user_id_missing'
                when deduplicated.user_id is null then ',user_id_not_an_integer'
                else ''
            end
            || case
                when deduplicated.region is null then ',region_missing'
                when regions.region is null then ',region_unknown'
                else ''
            end
            || case
                when deduplicated.regulation is null then ',regulation_missing'
                when regulations.regulation is null then ',regulation_unknown'
                else ''
            end
            || case
                when deduplicated.event_type is null then ',event_type_missing'
                when event_types.event_type is null then ',event_type_unknown'
                else ''
            end
            || case
                when deduplicated.status is null then ',status_missing'
                when statuses.status is null then ',status_unknown'
                else ''
            end
            || case
                when {{ read_text('raw_user_age') }} is null then ',user_age_missing'
                when deduplicated.user_age is null then ',user_age_not_an_integer'
                when
                    deduplicated.user_age < {{ var('minimum_user_age') }}
                    or deduplicated.user_age > {{ var('maximum_user_age') }}
                    then ',user_age_out_of_range'
                else ''
            end
            || case
                when {{ read_text('raw_session_duration_minutes') }} is null
                    then ',session_duration_minutes_missing'
                when deduplicated.session_duration_minutes is null
                    then ',session_duration_minutes_not_a_number'
                -- nan counts as larger than infinity on every engine
                when
                    deduplicated.session_duration_minutes >= cast('infinity' as double)
                    or deduplicated.session_duration_minutes <= cast('-infinity' as double)
                    then ',session_duration_minutes_not_finite'
                when deduplicated.session_duration_minutes < 0
                    then ',session_duration_minutes_negative'
                when
                    deduplicated.session_duration_minutes
                    > {{ var('maximum_session_duration_minutes') }}
                    then ',session_duration_minutes_too_long'
                else ''
            end
            || case
                when {{ read_text('raw_concurrent_streams') }} is null
                    then ',concurrent_streams_missing'
                when deduplicated.concurrent_streams is null
                    then ',concurrent_streams_not_an_integer'
                when deduplicated.concurrent_streams < 1 then ',concurrent_streams_below_one'
                else ''
            end
            || case
                when deduplicated.data_shared is null then ',data_shared_missing'
                when data_sharing_levels.data_shared is null then ',data_shared_unknown'
                else ''
            end,
            2
        ), '') as rejection_reasons
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
)

-- All columns of staging pass through.
select * from checked  -- noqa: AM04
