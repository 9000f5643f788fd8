{% set checked_events = built_before('int_checked_events', ['day_fingerprint']) %}
{% set repeated_columns = staged_event_columns() + ['is_kept'] %}
{% set repeated_events = built_before('int_repeated_events', repeated_columns) %}

with changed_days as (
    select * from {{ ref('int_changed_days') }}
),

changed_rows as (
    select
        events.event_id,
        events.source_date
    from (
        select * from {{ ref('stg_compliance_events') }}
        {{ in_files(files_of_days('select source_date from ' ~ ref('int_changed_days'))) }}
    ) as events
    inner join changed_days on events.source_date = changed_days.source_date
    where events.event_id is not null
),

{% if has_unchanged_days() -%}
    changed_ids as (
        select event_id from changed_rows
        union
        select repeated_events.event_id
        from {{ repeated_events }} as repeated_events
        inner join changed_days on repeated_events.source_date = changed_days.source_date
    ),

    -- Rows of an id on other days are among those that were kept, or it was repeated before.
    found_rows as (
        select
            event_id,
            source_date,
            1 as weight
        from changed_rows
        union all
        select
            checked_events.event_id,
            checked_events.source_date,
            1 as weight
        from {{ checked_events }} as checked_events
        inner join changed_ids on checked_events.event_id = changed_ids.event_id
        left join changed_days on checked_events.source_date = changed_days.source_date
        where changed_days.source_date is null
        union all
        select
            repeated_events.event_id,
            repeated_events.source_date,
            2 as weight
        from {{ repeated_events }} as repeated_events
        inner join changed_ids on repeated_events.event_id = changed_ids.event_id
    ),

    repeated_ids as (
        select event_id
        from found_rows
        group by event_id
        having sum(weight) > 1
    ),

    ids as (
        select distinct
            found_rows.event_id,
            found_rows.source_date
        from found_rows
        inner join repeated_ids on found_rows.event_id = repeated_ids.event_id
    )
{%- else -%}
    ids as (
        select
            event_id,
            cast(null as date) as source_date
        from changed_rows
        group by event_id
        having count(*) > 1
    )
{%- endif %}

select * from ids
