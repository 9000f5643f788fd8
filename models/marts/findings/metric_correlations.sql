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
{# Ties have their average rank. #}
{% set ranks = {} %}
{% for counted in kinds_of_events %}
    {% set count = 'value_counts.' ~ counted %}
    {% do ranks.update({
        counted: '(' ~ count ~ '_up_to_value - cast(' ~ count ~ ' - 1 as double) / 2)'
    }) %}
{% endfor %}

-- Counts are named where they are used, because engines would keep a shared CTE of all in memory.
with means as (
    {%- for counted in kinds_of_events %}
        select
            metric,
            '{{ counted }}' as counted,
            sum({{ counted }}) as events,
            {{ exact_sum(counted ~ ' * metric_value') }}
            / sum({{ counted }}) as mean_value,
            cast(sum({{ counted }}) + 1 as double) / 2 as mean_rank
        from {{ ref('int_value_counts') }}
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
            cast(max(means.events) as double) as events,
            case
                when count(*) > 1
                    then {{ exact_sum(
                        'value_counts.' ~ counted
                        ~ ' * power(value_counts.metric_value - means.mean_value, 2)',
                        digits=12
                    ) }}
            end as value_squares,
            case
                when count(*) > 1
                    then {{ exact_sum(
                        'value_counts.' ~ counted
                        ~ ' * power(' ~ ranks[counted] ~ ' - means.mean_rank, 2)',
                        digits=9
                    ) }}
            end as rank_squares
        from {{ ref('int_value_counts') }} as value_counts
        inner join means on value_counts.metric = means.metric
        where means.counted = '{{ counted }}' and value_counts.{{ counted }} > 0
        group by means.metric, means.counted

        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Whole numbers once a value, and not once an event.
durations as (
    select
        value_counts.metric_value as session_duration_minutes,
        {%- for counted in kinds_of_events %}
            {{ as_exact(ranks[counted], digits=1) }} as rank_among_{{ counted }},
        {%- endfor %}
        {{ as_exact('value_counts.metric_value - means.mean_value') }} as value_deviation
    from {{ ref('int_value_counts') }} as value_counts
    inner join means on value_counts.metric = means.metric
    where means.metric = 'session_duration_minutes' and means.counted = 'events'
),

-- Events alike in all but the duration count together, with its mean.
combinations as (
    select
        {%- for counted in kinds_of_events %}
            {{ sum_of_exact('durations.rank_among_' ~ counted, digits=1) }}
            / nullif(count(durations.session_duration_minutes), 0) as mean_rank_among_{{ counted }},
        {%- endfor %}
        {{ metrics_of_few_values | join(',\n        ') }},
        row_number() over (order by {{ metrics_of_few_values | join(', ') }}) as combination,
        count(*) as events,
        count(durations.session_duration_minutes) as events_with_duration,
        {{ sum_of_exact('durations.value_deviation') }}
        / nullif(count(durations.session_duration_minutes), 0) as mean_value_deviation
    from {{ ref('int_accepted_events') }} as accepted_events
    left join durations
        on accepted_events.session_duration_minutes = durations.session_duration_minutes
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
                value_counts.metric,
                '{{ counted }}' as counted,
                combinations.events,
                value_counts.metric_value - means.mean_value as value_deviation,
                {{ ranks[counted] }} - means.mean_rank as rank_deviation
            from combinations
            inner join {{ ref('int_value_counts') }} as value_counts
                on
                    value_counts.metric = '{{ metric }}'
                    and cast(combinations.{{ metric }} as double) = value_counts.metric_value
            inner join means
                on value_counts.metric = means.metric and means.counted = '{{ counted }}'

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

-- The events of a user that lack a metric of a pair: mostly few, or none.
incomplete as (
    select
        {%- for metric_x, metric_y in metric_pairs %}
            count(*) filter (where {{ metric_x }} is null or {{ metric_y }} is null)
                as {{ metric_x }}_and_{{ metric_y }},
        {%- endfor %}
        user_id
    from {{ ref('int_accepted_events') }}
    where {{ sent_metrics() | join(' is null or ') }} is null
    group by user_id
),

-- And those that have both.
user_counts as (
    select
        {%- for metric_x, metric_y in metric_pairs %}
            {%- set pair = metric_x ~ '_and_' ~ metric_y %}
            cast(users.events - coalesce(incomplete.{{ pair }}, 0) as double) as {{ pair }},
        {%- endfor %}
        users.user_id
    from {{ ref('dim_users') }} as users
    left join incomplete on users.user_id = incomplete.user_id
),

events_of_users as (
    {%- for metric_x, metric_y in metric_pairs %}
        {%- set pair = metric_x ~ '_and_' ~ metric_y %}
        select
            '{{ metric_x }}' as metric_x,
            '{{ metric_y }}' as metric_y,
            coalesce(sum({{ pair }}), 0) as events,
            coalesce(sum({{ pair }} * {{ pair }}), 0) as squared_events
        from user_counts
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

products as (
    select
        pairs.metric_x,
        pairs.metric_y,
        {{ exact_sum(
            'least(x.events, y.events) * x.value_deviation * y.value_deviation', digits=12
        ) }} as value_product,
        {{ exact_sum(
            'least(x.events, y.events) * x.rank_deviation * y.rank_deviation', digits=9
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
        -- As many independent events as tell as much, if those of a user all tell the same (Kish,
        -- 1965); without a user, each stands for itself.
        coalesce({{ ratio(
            'x.events * x.events',
            'of_users.squared_events + x.events - of_users.events'
        ) }}, 0) as effective_events,
        case kinds.kind
            when 'pearson'
                then products.value_product / nullif(sqrt(x.value_squares * y.value_squares), 0)
            else products.rank_product / nullif(sqrt(x.rank_squares * y.rank_squares), 0)
        end as quotient
    from pairs
    cross join (values ('pearson'), ('spearman')) as kinds (kind)
    inner join events_of_users as of_users
        on pairs.metric_x = of_users.metric_x and pairs.metric_y = of_users.metric_y
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
