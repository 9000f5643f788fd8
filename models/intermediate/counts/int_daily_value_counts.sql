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
    {%- for metric in event_metrics() %}
        select
            '{{ metric }}' as metric,
            cast({{ metric }} as double) as metric_value,
            count(*) as events,
            {%- for other in sent_metrics() %}
                count({{ other }}) as with_{{ other }},
            {%- endfor %}
            event_date
        from ({{ events_of_days() }}) as events
        where {{ metric }} is not null
        group by cast({{ metric }} as double), event_date

        {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

fingerprinted as (
    select
        counts.metric,
        counts.metric_value,
        counts.events,
        {%- for other in sent_metrics() %}
            counts.with_{{ other }},
        {%- endfor %}
        {{ built_fingerprint('days.fingerprint', 'days.rules') }} as fingerprint,
        counts.event_date
    from counts
    inner join days on counts.event_date = days.event_date
)

select * from fingerprinted
