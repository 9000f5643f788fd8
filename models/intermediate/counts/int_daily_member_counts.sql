{{ config(
    materialized='incremental',
    incremental_strategy='insert_overwrite' if target.type == 'spark' else 'append',
    pre_hook="{{ drop_outdated_days(ref('int_accepted_days')) }}",
    partition_by=['event_date'] if target.type == 'spark' else none
) }}

with days as (
    {{ missing_days(ref('int_accepted_days')) }}
),

-- A pass over the events counts several dimensions: the columns of one have few values together.
-- What the mix of events is made of is told apart in each.
{%- for pass, counted in tested_dimensions() | groupby('counted_with') %}
    {%- set columns = counted | sum(attribute='columns', start=['event_date']) | list %}
    {%- set columns = (columns + mix_columns()) | unique | list %}

    by_{{ pass }} as (
        select
            {{ columns | join(',\n            ') }},
            count(*) as events,
            count(*) filter (where status = 'compliant') as compliant_events,
            count(*) filter (where status = 'warning') as warning_events,
            count(*) filter (where status = 'violation') as violation_events
        from ({{ events_of_days() }}) as events
        group by {{ columns | join(', ') }}
    ),
{%- endfor %}

counts as (
    {%- for dimension in tested_dimensions() %}
        select
            '{{ dimension.dimension }}' as dimension,
            {{ member_text(dimension.columns) }} as member,
            {{ stratum_of(dimension) }} as stratum,
            sum(events) as events,
            sum(compliant_events) as compliant_events,
            sum(warning_events) as warning_events,
            sum(violation_events) as violation_events,
            event_date
        from by_{{ dimension.counted_with }}
        group by {{ (dimension.columns + ['event_date'] + mix_columns()) | unique | join(', ') }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

fingerprinted as (
    select
        counts.dimension,
        counts.member,
        counts.stratum,
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
