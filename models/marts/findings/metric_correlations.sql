{% set metrics = event_metrics() %}
{# All but the duration have few values. #}
{% set metrics_of_few_values = metrics | reject('equalto', 'session_duration_minutes') | list %}

with value_counts as (
    select * from {{ ref('int_value_counts') }}
),

-- Ties have their average rank.
ranked_values as (
    select
        metric,
        metric_value,
        events,
        events_up_to_value - cast(events - 1 as double) / 2 as value_rank,
        sum(events * metric_value) over (partition by metric) / events_of_metric as mean_value,
        cast(events_of_metric + 1 as double) / 2 as mean_rank
    from value_counts
),

deviations as (
    select
        metric,
        metric_value,
        events,
        metric_value - mean_value as value_deviation,
        value_rank - mean_rank as rank_deviation
    from ranked_values
),

-- Null where a metric does not vary; rounded, its deviations may not be zero.
spreads as (
    select
        metric,
        case when count(*) > 1 then sum(events * value_deviation * value_deviation) end
            as value_squares,
        case when count(*) > 1 then sum(events * rank_deviation * rank_deviation) end
            as rank_squares
    from deviations
    group by metric
),

-- Events alike in all but the duration count together, with the mean of its deviations.
combinations as (
    select
        {{ metrics_of_few_values | join(',\n        ') }},
        row_number() over (order by {{ metrics_of_few_values | join(', ') }}) as combination,
        count(*) as events,
        avg(durations.value_deviation) as value_deviation,
        avg(durations.rank_deviation) as rank_deviation
    from {{ ref('int_accepted_events') }} as accepted_events
    inner join deviations as durations
        on
            durations.metric = 'session_duration_minutes'
            and accepted_events.session_duration_minutes = durations.metric_value
    group by {{ metrics_of_few_values | join(', ') }}
),

deviations_of_combinations as (
    select
        combination,
        'session_duration_minutes' as metric,
        events,
        value_deviation,
        rank_deviation
    from combinations
    {%- for metric in metrics_of_few_values %}

        union all

        select
            combinations.combination,
            deviations.metric,
            combinations.events,
            deviations.value_deviation,
            deviations.rank_deviation
        from combinations
        inner join deviations
            on
                deviations.metric = '{{ metric }}'
                and cast(combinations.{{ metric }} as double) = deviations.metric_value
    {%- endfor %}
),

pairs as (
    {%- for metric_x in metrics[:-1] %}
        {%- set is_first = loop.first %}
        {%- for metric_y in metrics[loop.index:] %}
            {{- ' union all' if not (is_first and loop.first) }}
            select '{{ metric_x }}' as metric_x, '{{ metric_y }}' as metric_y
        {%- endfor %}
    {%- endfor %}
),

products as (
    select
        pairs.metric_x,
        pairs.metric_y,
        cast(coalesce(sum(x.events), 0) as bigint) as events,
        sum(x.events * x.value_deviation * y.value_deviation) as value_product,
        sum(x.events * x.rank_deviation * y.rank_deviation) as rank_product
    from pairs
    left join deviations_of_combinations as x on pairs.metric_x = x.metric
    left join deviations_of_combinations as y
        on pairs.metric_y = y.metric and x.combination = y.combination
    group by pairs.metric_x, pairs.metric_y
),

-- One row a coefficient, because both go through the same long formulas.
quotients as (
    select
        products.metric_x,
        products.metric_y,
        products.events,
        kinds.kind,
        case kinds.kind
            when 'pearson'
                then products.value_product / nullif(sqrt(x.value_squares * y.value_squares), 0)
            else products.rank_product / nullif(sqrt(x.rank_squares * y.rank_squares), 0)
        end as quotient
    from products
    cross join (values ('pearson'), ('spearman')) as kinds (kind)
    left join spreads as x on products.metric_x = x.metric
    left join spreads as y on products.metric_y = y.metric
),

-- Rounded, a quotient could exceed 1.
coefficients as (
    select
        metric_x,
        metric_y,
        events,
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
