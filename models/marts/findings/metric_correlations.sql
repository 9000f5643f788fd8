{% set metrics = event_metrics() %}
{% set metric_pairs = [] %}
{% for metric_x in metrics[:-1] %}
    {% for metric_y in metrics[loop.index:] %}
        {% do metric_pairs.append((metric_x, metric_y)) %}
    {% endfor %}
{% endfor %}
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
            {{ exact_sum(counted ~ ' * metric_value', digits=9) }} / sum({{ counted }}) as mean_value,
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
                    then {{ exact_sum(
                        'ranked_values.' ~ counted
                        ~ ' * power(ranked_values.metric_value - means.mean_value, 2)',
                        digits=9
                    ) }}
            end as value_squares,
            case
                when count(*) > 1
                    then {{ exact_sum(
                        'ranked_values.' ~ counted
                        ~ ' * power(ranked_values.rank_among_' ~ counted ~ ' - means.mean_rank, 2)',
                        digits=2
                    ) }}
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
            {{ exact_sum('durations.rank_among_' ~ counted, digits=1) }}
            / nullif(count(durations.rank_among_{{ counted }}), 0) as mean_rank_among_{{ counted }},
        {%- endfor %}
        {{ metrics_of_few_values | join(',\n        ') }},
        row_number() over (order by {{ metrics_of_few_values | join(', ') }}) as combination,
        count(*) as events,
        count(durations.metric_value) as events_with_duration,
        {{ exact_sum('durations.value_deviation', digits=9) }}
        / nullif(count(durations.value_deviation), 0) as mean_value_deviation
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
    {%- for metric_x, metric_y in metric_pairs %}
        select
            '{{ metric_x }}' as metric_x,
            '{{ metric_y }}' as metric_y,
            '{{ "with_" ~ metric_y if "with_" ~ metric_y in kinds_of_events else "events" }}'
                as counted_x,
            '{{ "with_" ~ metric_x if "with_" ~ metric_x in kinds_of_events else "events" }}'
                as counted_y
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- The events of a user that have both metrics of a pair.
user_counts as (
    select
        {%- for metric_x, metric_y in metric_pairs %}
            count(*) filter (where {{ metric_x }} is not null and {{ metric_y }} is not null)
                as {{ metric_x }}_and_{{ metric_y }},
        {%- endfor %}
        user_id
    from {{ ref('int_accepted_events') }}
    group by user_id
),

-- As many independent events as tell as much, if those of a user all tell the same (Kish, 1965); without a
-- user, each stands for itself.
effective_counts as (
    {%- for metric_x, metric_y in metric_pairs %}
        {%- set events = metric_x ~ '_and_' ~ metric_y %}
        select
            '{{ metric_x }}' as metric_x,
            '{{ metric_y }}' as metric_y,
            {{ ratio(
                'power(sum(' ~ events ~ '), 2)',
                'sum(' ~ events ~ ' * case when user_id is null then 1 else ' ~ events ~ ' end)'
            ) }} as effective_events
        from user_counts
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

products as (
    select
        pairs.metric_x,
        pairs.metric_y,
        {{ exact_sum(
            'least(x.events, y.events) * x.value_deviation * y.value_deviation', digits=9
        ) }} as value_product,
        {{ exact_sum(
            'least(x.events, y.events) * x.rank_deviation * y.rank_deviation', digits=2
        ) }} as rank_product
    from pairs
    inner join deviations as x on pairs.metric_x = x.metric and pairs.counted_x = x.counted
    inner join deviations as y
        on
            pairs.metric_y = y.metric
            and pairs.counted_y = y.counted
            and x.combination = y.combination
    group by pairs.metric_x, pairs.metric_y
),

-- One row a coefficient: they are one family of tests.
quotients as (
    select
        pairs.metric_x,
        pairs.metric_y,
        kinds.kind,
        coalesce(x.events, 0) as events,
        coalesce(effective_counts.effective_events, 0) as effective_events,
        case kinds.kind
            when 'pearson'
                then products.value_product / nullif(sqrt(x.value_squares * y.value_squares), 0)
            else products.rank_product / nullif(sqrt(x.rank_squares * y.rank_squares), 0)
        end as quotient
    from pairs
    cross join (values ('pearson'), ('spearman')) as kinds (kind)
    inner join effective_counts
        on
            pairs.metric_x = effective_counts.metric_x
            and pairs.metric_y = effective_counts.metric_y
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
        kind,
        cast(events as bigint) as events,
        effective_events,
        case when abs(quotient) > 1 then sign(quotient) else quotient end as coefficient
    from quotients
),

-- Student's t of a coefficient, squared, is to its degrees of freedom as r^2 to 1 - r^2.
tests as (
    select
        metric_x,
        metric_y,
        kind,
        case when effective_events > 3 then (effective_events - 2) / 2 end as a,
        5e-1 as b,
        (1 - coefficient) * (1 + coefficient) as x,
        coefficient * coefficient as y
    from coefficients
),

{{ beta_node_ctes() }},

{{ beta_tail_ctes('tests', 'tails', keys='metric_x, metric_y, kind') }},

steps as (
    select
        metric_x,
        metric_y,
        kind,
        p_value,
        {{ holm_step('p_value', ties='metric_x, metric_y, kind') }} as holm_step
    from tails
),

tested as (
    select
        *,
        {{ holm_adjusted('holm_step', 'p_value', ties='metric_x, metric_y, kind') }} as p_adjusted
    from steps
),

correlations as (
    select
        coefficients.metric_x,
        coefficients.metric_y,
        coefficients.events,
        coefficients.effective_events,
        max(case when tested.kind = 'pearson' then coefficients.coefficient end) as pearson,
        max(case when tested.kind = 'pearson' then tested.p_value end) as p_value,
        max(case when tested.kind = 'pearson' then tested.p_adjusted end) as p_adjusted,
        max(case when tested.kind = 'spearman' then coefficients.coefficient end) as spearman,
        max(case when tested.kind = 'spearman' then tested.p_value end) as spearman_p_value,
        max(case when tested.kind = 'spearman' then tested.p_adjusted end) as spearman_p_adjusted
    from coefficients
    inner join tested
        on
            coefficients.metric_x = tested.metric_x
            and coefficients.metric_y = tested.metric_y
            and coefficients.kind = tested.kind
    group by
        coefficients.metric_x,
        coefficients.metric_y,
        coefficients.events,
        coefficients.effective_events
)

select * from correlations
