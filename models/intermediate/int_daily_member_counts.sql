{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_accepted_days')) }}",
    partition_by=['event_date'] if target.type == 'spark' else none
) }}

with days as (
    {{ missing_days(ref('int_accepted_days')) }}
),

{#- Two passes over the events for all dimensions: the columns of one have few values together. -#}
{% set passes = {
    'by_place_and_hour': ['region', 'regulation', 'event_hour'],
    'by_kind': ['event_type', 'data_shared', 'concurrent_streams'],
} %}
{%- for counts, columns in passes.items() %}
    {{ counts }} as (
        select
            {{ columns | join(',\n        ') }},
            event_date,
            count(*) as events,
            count(*) filter (where status = 'compliant') as compliant_events,
            count(*) filter (where status = 'warning') as warning_events,
            count(*) filter (where status = 'violation') as violation_events
        from ({{ events_of_days() }}) as events
        group by {{ columns | join(', ') }}, event_date
    ),

{% endfor -%}

counts as (
    {%- for dimension, parts in tested_dimensions().items() %}
        select
            '{{ dimension }}' as dimension,
            {{ parts.member }} as member,
            sum(events) as events,
            sum(compliant_events) as compliant_events,
            sum(warning_events) as warning_events,
            sum(violation_events) as violation_events,
            event_date
        from {{ 'by_kind' if parts.columns in passes.by_kind else 'by_place_and_hour' }}
        group by {{ parts.columns }}, event_date

        {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

fingerprinted as (
    select
        counts.dimension,
        counts.member,
        cast(counts.events as bigint) as events,
        cast(counts.compliant_events as bigint) as compliant_events,
        cast(counts.warning_events as bigint) as warning_events,
        cast(counts.violation_events as bigint) as violation_events,
        {{ built_fingerprint('days.fingerprint', 'days.rules') }} as fingerprint,
        counts.event_date
    from counts
    inner join days on counts.event_date = days.event_date
)

select * from fingerprinted
