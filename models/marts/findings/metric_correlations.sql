{% set metrics = [
    'is_violation', 'session_duration_minutes', 'concurrent_streams', 'user_age', 'event_hour'
] %}

with events as (
    select * from {{ ref('int_accepted_events') }}
),

measured as (
    select
        case when is_violation then 1.0 else 0.0 end as is_violation,
        session_duration_minutes,
        cast(concurrent_streams as double) as concurrent_streams,
        cast(user_age as double) as user_age,
        cast(event_hour as double) as event_hour
    from events
),

-- Average ranks, counted per distinct value, so that no engine has to sort all events at once.
{% for metric in metrics %}
{{ metric }}_counts as (
    select
        {{ metric }},
        count(*) as events
    from measured
    group by {{ metric }}
),

{{ metric }}_ranks as (
    select
        {{ metric }},
        sum(events) over (order by {{ metric }}) - (events - 1) / 2.0 as average_rank
    from {{ metric }}_counts
),
{% endfor %}

ranked as (
    select
        measured.*,
        {% for metric in metrics %}
        cast({{ metric }}_ranks.average_rank as double) as {{ metric }}_rank{{ ',' if not loop.last }}
        {% endfor %}
    from measured
    {% for metric in metrics %}
    inner join {{ metric }}_ranks on measured.{{ metric }} = {{ metric }}_ranks.{{ metric }}
    {% endfor %}
),

moments as (
    select
        count(*) as events,
        {% for metric_x in metrics %}
        {% for metric_y in metrics[loop.index:] %}
        corr({{ metric_x }}, {{ metric_y }}) as pearson_{{ loop.index }}_of_{{ metric_x }},
        corr({{ metric_x }}_rank, {{ metric_y }}_rank) as spearman_{{ loop.index }}_of_{{ metric_x }},
        {% endfor %}
        min({{ metric_x }}) as minimum_of_{{ metric_x }},
        max({{ metric_x }}) as maximum_of_{{ metric_x }}{{ ',' if not loop.last }}
        {% endfor %}
    from ranked
),

pairs as (
    {% for metric_x in metrics %}
    {% set first_metric = loop.first %}
    {% for metric_y in metrics[loop.index:] %}
    {{ 'union all' if not (first_metric and loop.first) }}
    select
        '{{ metric_x }}' as metric_x,
        '{{ metric_y }}' as metric_y,
        events,
        -- A metric without variation has no correlation; engines answer null or nan.
        case
            when minimum_of_{{ metric_x }} < maximum_of_{{ metric_x }}
                and minimum_of_{{ metric_y }} < maximum_of_{{ metric_y }}
                then pearson_{{ loop.index }}_of_{{ metric_x }}
        end as pearson,
        case
            when minimum_of_{{ metric_x }} < maximum_of_{{ metric_x }}
                and minimum_of_{{ metric_y }} < maximum_of_{{ metric_y }}
                then spearman_{{ loop.index }}_of_{{ metric_x }}
        end as spearman
    from moments
    {% endfor %}
    {% endfor %}
),

tested as (
    select
        metric_x,
        metric_y,
        events,
        pearson,
        spearman,
        {{ correlation_normal_deviate('pearson', 'events') }} as pearson_deviate,
        {{ correlation_normal_deviate('spearman', 'events') }} as spearman_deviate
    from pairs
),

correlations as (
    select
        metric_x,
        metric_y,
        events,
        pearson,
        spearman,
        {{ normal_two_sided_p('pearson_deviate') }} as p_value,
        {{ normal_two_sided_p('spearman_deviate') }} as spearman_p_value
    from tested
)

select * from correlations
