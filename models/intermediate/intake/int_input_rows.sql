with raw_rows as (
    select cast(coalesce(sum(raw_rows), 0) as bigint) as raw_rows
    from {{ ref('int_source_days') }}
),

checked_rows as (
    select
        count(*) filter (where rejection_reasons is null) as accepted_rows,
        count(*) filter (where rejection_reasons is not null) as quarantined_rows,
        cast(coalesce(sum(copies - 1), 0) as bigint) as exact_copies_dropped,
        cast(coalesce(sum(superseded), 0) as bigint) as superseded_rows,
        {%- if var('events_time_zone') == 'UTC' %}
            cast(0 as bigint) as ambiguous_local_times
        {%- else %}
            count(*) filter (
                where rejection_reasons is null and {{ is_ambiguous_local_time('occurred_at') }}
            ) as ambiguous_local_times
        {%- endif %}
    from {{ ref('int_checked_events') }}
),

counted as (
    select
        raw_rows.raw_rows,
        checked_rows.accepted_rows,
        checked_rows.quarantined_rows,
        checked_rows.exact_copies_dropped,
        checked_rows.superseded_rows,
        checked_rows.ambiguous_local_times,
        {{ ratio('checked_rows.quarantined_rows', 'raw_rows.raw_rows') }} as quarantined_share
    from raw_rows
    cross join checked_rows
)

select * from counted
