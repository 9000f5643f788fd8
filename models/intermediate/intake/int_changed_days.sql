{# What a build before left; not by ref, as these models come later in this one. #}
{% set checked_events = built_before('int_checked_events', ['day_fingerprint']) %}
{% set repeated_columns = staged_event_columns() + ['is_kept'] %}
{% set repeated_events = built_before('int_repeated_events', repeated_columns) %}

with rows_of_days as (
    select
        source_date,
        {{ rows_checksum('sum(raw_rows)', 'sum(sum_of_hashes)', 'sum(future_rows)') }}
            as rows_checksum
    from {{ ref('int_source_file_days') }}
    group by source_date
),

{% if checked_events and repeated_events -%}
    repeated_rows as (
        select
            source_date,
            {{ repeated_checksum() }} as repeated_checksum
        from {{ repeated_events }}
        group by source_date
    ),

    checked_days as (
        select distinct
            source_date,
            day_fingerprint
        from {{ checked_events }}
    ),

    -- Also where a build ended between these two tables.
    changed as (
        select
            coalesce(
                rows_of_days.source_date, repeated_rows.source_date, checked_days.source_date
            ) as source_date
        from rows_of_days
        full outer join repeated_rows on rows_of_days.source_date = repeated_rows.source_date
        full outer join checked_days
            on coalesce(rows_of_days.source_date, repeated_rows.source_date) = checked_days.source_date
        where
            rows_of_days.source_date is null
            or checked_days.source_date is null
            or checked_days.day_fingerprint <> {{ day_fingerprint(
                'rows_of_days.source_date',
                'rows_of_days.rows_checksum',
                'repeated_rows.repeated_checksum'
            ) }}
    )
{%- else -%}
    changed as (
        select source_date from rows_of_days
    )
{%- endif %}

select * from changed
