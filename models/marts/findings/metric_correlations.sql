{% set metrics = event_metrics() %}
{# All but the duration have few values. #}
{% set metrics_of_few_values = metrics | reject('equalto', 'session_duration_minutes') | list %}
{# A pair rests on the events that have both: those with a metric that may be missing, or all. #}
{% set kinds_of_events = ['events'] %}
{% for metric in sent_metrics() if may_be_missing(metric) %}
    {% do kinds_of_events.append('with_' ~ metric) %}
{% endfor %}

with value_counts as (
    select * from {{ ref('int_value_counts') }}
),

-- Ties have their average rank.
ranked_values as (
    select
        {%- for counted in kinds_of_events %}
            sum({{ counted }}) over (
                partition by metric order by metric_value
                rows between unbounded preceding and current row
            ) - cast({{ counted }} - 1 as double) / 2 as rank_among_{{ counted }},
        {%- endfor %}
        {{ kinds_of_events | join(',\n        ') }},
        metric,
        metric_value
    from value_counts
),

means as (
    {%- for counted in kinds_of_events %}
        select
            metric,
            '{{ counted }}' as counted,
            sum({{ counted }}) as events,
            sum({{ counted }} * metric_value) / sum({{ counted }}) as mean_value,
            cast(sum({{ counted }}) + 1 as double) / 2 as mean_rank
        from value_counts
        where {{ counted }} > 0
        group by metric

        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Null where a metric does not vary; rounded, its deviations may not be zero.
spreads as (
    {%- for counted in kinds_of_events %}
        select
            means.metric,
            means.counted,
            max(means.events) as events,
            case
                when count(*) > 1
                    then sum(
                        ranked_values.{{ counted }}
                        * power(ranked_values.metric_value - means.mean_value, 2)
                    )
            end as value_squares,
            case
                when count(*) > 1
                    then sum(
                        ranked_values.{{ counted }}
                        * power(ranked_values.rank_among_{{ counted }} - means.mean_rank, 2)
                    )
            end as rank_squares
        from ranked_values
        inner join means on ranked_values.metric = means.metric
        where means.counted = '{{ counted }}' and ranked_values.{{ counted }} > 0
        group by means.metric, means.counted

        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

durations as (
    select
        {%- for counted in kinds_of_events %}
            ranked_values.rank_among_{{ counted }},
        {%- endfor %}
        ranked_values.metric_value,
        ranked_values.metric_value - means.mean_value as value_deviation
    from ranked_values
    inner join means on ranked_values.metric = means.metric and means.counted = 'events'
    where ranked_values.metric = 'session_duration_minutes'
),

-- Events alike in all but the duration count together, with its mean.
combinations as (
    select
        {%- for counted in kinds_of_events %}
            avg(durations.rank_among_{{ counted }}) as mean_rank_among_{{ counted }},
        {%- endfor %}
        {{ metrics_of_few_values | join(',\n        ') }},
        row_number() over (order by {{ metrics_of_few_values | join(', ') }}) as combination,
        count(*) as events,
        count(durations.metric_value) as events_with_duration,
        avg(durations.value_deviation) as mean_value_deviation
    from {{ ref('int_accepted_events') }} as accepted_events
    left join durations on accepted_events.session_duration_minutes = durations.metric_value
    group by {{ metrics_of_few_values | join(', ') }}
),

-- How far the events of a combination lie from the mean of a metric, and from its mean rank.
deviations as (
    {%- for counted in kinds_of_events %}
        select
            combinations.combination,
            'session_duration_minutes' as metric,
            '{{ counted }}' as counted,
            combinations.events_with_duration as events,
            combinations.mean_value_deviation as value_deviation,
            combinations.mean_rank_among_{{ counted }} - means.mean_rank as rank_deviation
        from combinations
        inner join means
            on means.metric = 'session_duration_minutes' and means.counted = '{{ counted }}'
        where combinations.events_with_duration > 0

        union all

        {%- for metric in metrics_of_few_values %}

            select
                combinations.combination,
                ranked_values.metric,
                '{{ counted }}' as counted,
                combinations.events,
                ranked_values.metric_value - means.mean_value as value_deviation,
                ranked_values.rank_among_{{ counted }} - means.mean_rank as rank_deviation
            from combinations
            inner join ranked_values
                on
                    ranked_values.metric = '{{ metric }}'
                    and cast(combinations.{{ metric }} as double) = ranked_values.metric_value
            inner join means
                on ranked_values.metric = means.metric and means.counted = '{{ counted }}'

            {{ 'union all' if not loop.last }}
        {%- endfor %}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Each with the events that have the other metric, too.
pairs as (
    {%- for metric_x in metrics[:-1] %}
        {%- set is_first = loop.first %}
        {%- for metric_y in metrics[loop.index:] %}
            {{- ' union all' if not (is_first and loop.first) }}
            select
                '{{ metric_x }}' as metric_x,
                '{{ metric_y }}' as metric_y,
                '{{ "with_" ~ metric_y if "with_" ~ metric_y in kinds_of_events else "events" }}'
                    as counted_x,
                '{{ "with_" ~ metric_x if "with_" ~ metric_x in kinds_of_events else "events" }}'
                    as counted_y
        {%- endfor %}
    {%- endfor %}
),

products as (
    select
        pairs.metric_x,
        pairs.metric_y,
        sum(least(x.events, y.events) * x.value_deviation * y.value_deviation) as value_product,
        sum(least(x.events, y.events) * x.rank_deviation * y.rank_deviation) as rank_product
    from pairs
    inner join deviations as x on pairs.metric_x = x.metric and pairs.counted_x = x.counted
    inner join deviations as y
        on
            pairs.metric_y = y.metric
            and pairs.counted_y = y.counted
            and x.combination = y.combination
    group by pairs.metric_x, pairs.metric_y
),

-- One row a coefficient, because both go through the same long formulas.
quotients as (
    select
        pairs.metric_x,
        pairs.metric_y,
        coalesce(x.events, 0) as events,
        kinds.kind,
        case kinds.kind
            when 'pearson'
                then products.value_product / nullif(sqrt(x.value_squares * y.value_squares), 0)
            else products.rank_product / nullif(sqrt(x.rank_squares * y.rank_squares), 0)
        end as quotient
    from pairs
    cross join (values ('pearson'), ('spearman')) as kinds (kind)
    left join products
        on pairs.metric_x = products.metric_x and pairs.metric_y = products.metric_y
    left join spreads as x on pairs.metric_x = x.metric and pairs.counted_x = x.counted
    left join spreads as y on pairs.metric_y = y.metric and pairs.counted_y = y.counted
),

-- Rounded, a quotient could exceed 1.
coefficients as (
    select
        metric_x,
        metric_y,
        cast(events as bigint) as events,
        kind,
        case when abs(quotient) > 1 then sign(quotient) else quotient end as coefficient
    from quotients
),

logarithms as (
    select
        *,
        {{ minus_log_of_unexplained('coefficient') }} as minus_log
    from coefficients
),

deviates as (
    select
        *,
        {{ correlation_normal_deviate('minus_log', 'events') }} as deviate
    from logarithms
),

tested as (
    select
        *,
        {{ normal_two_sided_p('deviate') }} as p_value
    from deviates
),

correlations as (
    select
        metric_x,
        metric_y,
        events,
        max(case when kind = 'pearson' then coefficient end) as pearson,
        max(case when kind = 'spearman' then coefficient end) as spearman,
        max(case when kind = 'pearson' then p_value end) as p_value,
        max(case when kind = 'spearman' then p_value end) as spearman_p_value
    from tested
    group by metric_x, metric_y, events
)

select * from correlations
