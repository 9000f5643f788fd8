{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_accepted_days')) }}",
    partition_by=['event_date'] if target.type == 'spark' else none
) }}

with days as (
    {{ missing_days(ref('int_accepted_days')) }}
),

counts as (
    {%- for dimension, parts in tested_dimensions().items() %}
        select
            '{{ dimension }}' as dimension,
            {{ parts.member }} as member,
            count(*) as events,
            count(*) filter (where status = 'compliant') as compliant_events,
            count(*) filter (where status = 'warning') as warning_events,
            count(*) filter (where status = 'violation') as violation_events,
            event_date
        from ({{ events_of_days() }}) as events
        group by {{ parts.columns }}, event_date

        {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

fingerprinted as (
    select
        counts.dimension,
        counts.member,
        counts.events,
        counts.compliant_events,
        counts.warning_events,
        counts.violation_events,
        days.fingerprint,
        counts.event_date
    from counts
    inner join days on counts.event_date = days.event_date
)

select * from fingerprinted
