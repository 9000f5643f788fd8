with daily_counts as (
    select * from {{ ref('int_daily_value_counts') }}
),

counts as (
    select
        metric,
        metric_value,
        {%- for other in sent_metrics() %}
            cast(sum(with_{{ other }}) as bigint) as with_{{ other }},
        {%- endfor %}
        cast(sum(events) as bigint) as events
    from daily_counts
    group by metric, metric_value
),

ranked as (
    select
        metric,
        metric_value,
        events,
        {%- for other in sent_metrics() %}
            with_{{ other }},
        {%- endfor %}
        sum(events) over (
            partition by metric order by metric_value
            rows between unbounded preceding and current row
        ) as events_up_to_value,
        sum(events) over (partition by metric) as events_of_metric
    from counts
)

select
    metric,
    metric_value,
    events,
    {%- for other in sent_metrics() %}
        with_{{ other }},
    {%- endfor %}
    cast(events_up_to_value as bigint) as events_up_to_value,
    cast(events_of_metric as bigint) as events_of_metric
from ranked
