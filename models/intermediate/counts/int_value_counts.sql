{# Each metric by itself: with its name beside them, millions of durations take twice the memory. #}
with
{%- for metric in event_metrics() %}
    {{ metric }}_counts as (
        select
            metric_value,
            {%- for other in sent_metrics() %}
                cast(sum(with_{{ other }}) as bigint) as with_{{ other }},
            {%- endfor %}
            cast(sum(events) as bigint) as events
        from {{ ref('int_daily_value_counts') }}
        where metric = '{{ metric }}'
        group by metric_value
    ),
{% endfor %}

ranked as (
    {%- for metric in event_metrics() %}
        select
            '{{ metric }}' as metric,
            metric_value,
            events,
            {%- for other in sent_metrics() %}
                with_{{ other }},
                cast(sum(with_{{ other }}) over (
                    order by metric_value rows between unbounded preceding and current row
                ) as bigint) as with_{{ other }}_up_to_value,
            {%- endfor %}
            cast(sum(events) over (
                order by metric_value rows between unbounded preceding and current row
            ) as bigint) as events_up_to_value,
            cast(sum(events) over () as bigint) as events_of_metric
        from {{ metric }}_counts

        {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select * from ranked
