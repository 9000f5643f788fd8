{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_source_days')) }}",
    partition_by=['source_date'] if target.type == 'spark' else none,
    schema='intermediate' if target.type == 'spark' else 'marts'
) }}

{#- A release is a copy of the work database's file in which this table becomes
    `fct_compliance_events`. DuckDB moves no table to another schema, and columns stay in their
    order: those of the fact come in that of its contract. -#}

{% set reason_columns = judged_columns() | map(attribute='name') | join('_reason, reasons.') %}
{% set reason_columns = 'reasons.' ~ reason_columns ~ '_reason' %}

{% set files_to_read = files_of_days(
    'select source_date from (' ~ missing_days(ref('int_source_days')) ~ ')'
) %}
{% set found_fingerprint = day_fingerprint(
    'days.source_date', 'rows_of_days.rows_checksum', 'days.repeated_checksum'
) %}
{# Of rows that are not those of the models before, nothing is known: they are built again. #}
{% set is_settled = found_fingerprint ~ ' = days.fingerprint' %}

with days as (
    {{ missing_days(ref('int_source_days')) }}
),

-- Taken again with the rows: a source that changes meanwhile must not pass for what it was.
rows_of_days as (
    select
        events.source_date,
        {{ rows_checksum(
            'count(*)', sum_of_row_hashes('events.'), count_future_rows('events.')
        ) }} as rows_checksum
    from (
        select * from {{ ref('stg_compliance_events') }}
        {{ in_files(files_to_read) }}
    ) as events
    inner join days on events.source_date = days.source_date
    group by events.source_date
),

read_days as (
    select
        days.source_date,
        case when {{ is_settled }} then days.fingerprint else 0 end as day_fingerprint,
        {{ built_fingerprint(
            found_fingerprint, "case when " ~ is_settled ~ " then days.rules else '' end"
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
        1 as versions,
        0 as superseded
    from (
        select * from {{ ref('stg_compliance_events') }}
        {{ in_files(files_to_read) }}
    ) as events
    left join repeated_ids on events.event_id = repeated_ids.event_id
    where repeated_ids.event_id is null
    union all
    select
        {{ staged_event_columns() | join(',\n        ') }},
        copies,
        versions,
        superseded
    from repeated_events
    where is_kept
),

-- The first reason of each column that applies.
reasons as (
    select
        events.*,
        {%- for column in judged_columns() %}
            {{ first_reason(column) }} as {{ column.name }}_reason,
        {%- endfor %}
        {%- for column in event_columns() if column.kind == 'member' %}
            {{ column.seed }}.{{ column.name }} as known_{{ column.name }},
        {%- endfor %}
        read_days.day_fingerprint,
        read_days.fingerprint
    from distinct_events as events
    inner join read_days on events.source_date = read_days.source_date
    {%- for column in event_columns() if column.kind == 'member' %}
        left join {{ ref(column.seed) }} as {{ column.seed }}
            on events.{{ column.name }} = {{ fold_member(column.seed ~ '.' ~ column.name) }}
    {%- endfor %}
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

-- Members stand as their seed writes them. Of rejected rows, raw text is kept where that of the
-- value differs.
stored as (
    select
        {%- for column in event_columns() %}
            {%- set value = 'coalesce(known_' ~ column.name ~ ', ' ~ column.value ~ ')'
                if column.kind == 'member' else column.value %}
            {{ value }} as {{ column.value }},
            case
                when rejection_reasons is not null
                    then nullif({{ as_text('raw_' ~ column.name) }}, {{ as_text(value) }})
            end as raw_{{ column.name }},
        {%- endfor %}
        rejection_reasons,
        cast(copies as bigint) as copies,
        cast(superseded as bigint) as superseded,
        day_fingerprint,
        fingerprint,
        source_date
    from checked
),

derived as (
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
        status = 'violation' as is_violation,
        cast(extract(hour from occurred_at) as integer) as event_hour,
        source_date as event_date,
        {{ weekday('source_date') }} as weekday,
        case
            {%- for band in age_bands() %}
                when {{ 'user_age < ' ~ band.below if band.below else 'user_age is not null' }}
                    then '{{ band.age_band }}'
            {%- endfor %}
        end as age_band,
        occurred_at,
        {%- for column in event_columns() if column.kind == 'attribute' %}
            {{ column.name }},
        {%- endfor %}
        {%- for column in event_columns() %}
            raw_{{ column.name }},
        {%- endfor %}
        rejection_reasons,
        copies,
        superseded,
        day_fingerprint,
        fingerprint,
        source_date
    from stored
)

select * from derived
