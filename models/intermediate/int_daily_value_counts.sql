{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ drop_outdated_days(ref('int_accepted_days')) }}",
    partition_by=['event_date'] if target.type == 'spark' else none
) }}

-- Days that do not stand here yet, or were just removed because their events changed.
with days as (
    select * from {{ ref('int_accepted_days') }}
    {% if is_incremental() %}
    where fingerprint not in (select distinct fingerprint from {{ this }})
    {% endif %}
)

{% for metric in ['session_duration_minutes', 'concurrent_streams', 'user_age'] %}
select
    '{{ metric }}' as metric,
    cast({{ metric }} as double) as metric_value,
    count(*) as events,
    fingerprint,
    event_date
from ({{ events_of_days() }}) as events
group by {{ metric }}, fingerprint, event_date
{{ 'union all' if not loop.last }}
{% endfor %}
