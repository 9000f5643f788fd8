{{ config(
    materialized='table' if target.type == 'spark' else 'incremental',
    incremental_strategy='append',
    pre_hook="{{ drop_compared_ids(ref('int_ids_to_compare')) }}"
) }}

-- depends_on: {{ ref('int_changed_days') }}
with compared_ids as (
    select distinct event_id from {{ ref('int_ids_to_compare') }}
),

compared_rows as (
    select
        {{ staged_event_columns('events.') | join(',\n        ') }},
        {%- if keeps_one_of_repeats() %}
            rank() over (
                partition by events.event_id
                {#- Numbers in text are numbers: 10 comes after 9. -#}
                {%- set order = 'desc' if var('repeated_events').keep == 'latest' else 'asc' %}
                order by
                    {{ dbt.safe_cast(as_text('events.repeat_order'), 'double') }} {{ order }} nulls last,
                    events.repeat_order {{ order }} nulls last
            ) as place,
        {%- else %}
            1 as place,
        {%- endif %}
        count(*) over (partition by events.event_id) as event_rows
    from (
        select * from {{ ref('stg_compliance_events') }}
        {{ in_files(files_of_ids(ref('int_ids_to_compare'))) }}
    ) as events
    inner join compared_ids on events.event_id = compared_ids.event_id
),

-- Values are compared, not how they are written.
distinct_rows as (
    select
        {%- for column in event_columns() %}
            {{ column.value }},
            min(raw_{{ column.name }}) as raw_{{ column.name }},
        {%- endfor %}
        source_date,
        place = 1 as is_kept,
        count(*) as copies,
        max(event_rows) as event_rows
    from compared_rows
    where event_rows > 1
    group by {{ content_columns() | join(', ') }}, place = 1
),

repeated as (
    select
        {{ staged_event_columns() | join(',\n        ') }},
        is_kept,
        copies,
        count(*) over (partition by event_id, is_kept) as versions,
        -- Rows that this one, or one of its versions, is kept in place of.
        case
            when
                is_kept
                and row_number() over (partition by event_id, is_kept order by copies) = 1
                then event_rows - sum(copies) over (partition by event_id, is_kept)
            else 0
        end as superseded
    from distinct_rows
)

select * from repeated
