{#- CTEs that end in `ranked`: the metrics, and for each a column <metric>_rank with its rank, ties at
    their average; both null where the metric does not vary. Ranks are counted per distinct value,
    so that no engine has to sort all rows. -#}
{% macro average_rank_ctes(relation, metrics) -%}
{%- for metric in metrics %}
{{ metric }}_counts as (
    select
        {{ metric }},
        count(*) as copies
    from {{ relation }}
    group by {{ metric }}
),

{{ metric }}_ranks as (
    select
        {{ metric }},
        count(*) over () > 1 as varies,
        cast(sum(copies) over (order by {{ metric }}) as double) - (copies - 1) / 2.0 as average_rank
    from {{ metric }}_counts
),
{% endfor %}
ranked as (
    select
        {%- for metric in metrics %}
        {{ metric }}_ranks.{{ metric }},
        {{ metric }}_ranks.average_rank as {{ metric }}_rank{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ relation }}
    {%- for metric in metrics %}
    left join {{ metric }}_ranks
        on {{ relation }}.{{ metric }} = {{ metric }}_ranks.{{ metric }} and {{ metric }}_ranks.varies
    {%- endfor %}
)
{%- endmacro %}

{#- Query for one row a pair of metrics: Pearson's and Spearman's coefficient, null when one of the
    two does not vary (of a constant, engines answer null or nan; of nulls, null). -#}
{% macro correlate_pairs(ranked, metrics) -%}
    {%- set selects = [] -%}
    {%- for metric_x in metrics -%}
        {%- for metric_y in metrics[loop.index:] -%}
            {%- set select -%}
    select
        '{{ metric_x }}' as metric_x,
        '{{ metric_y }}' as metric_y,
        count(*) as events,
        corr({{ metric_x }}, {{ metric_y }}) as pearson,
        corr({{ metric_x }}_rank, {{ metric_y }}_rank) as spearman
    from {{ ranked }}
            {%- endset -%}
            {%- do selects.append(select) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ selects | join('\n    union all\n    ') }}
{%- endmacro %}

{#- -ln(1 - r^2) of a correlation coefficient: a series where it is small, because 1 - r^2 would drop
    its digits there; 1 counts as all but 1. -#}
{% macro minus_log_of_unexplained(correlation) -%}
    {%- set square = '(' ~ correlation ~ ' * ' ~ correlation ~ ')' -%}
    case
        when {{ square }} < 0.001
            then {{ square }} * {{ polynomial(square, [1e0, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]) }}
        else -ln(greatest(1 - {{ square }}, 1e-300))
    end
{%- endmacro %}

{#- The normal deviate with the same two-sided probability as Student's t of a correlation
    coefficient with n - 2 degrees of freedom, by the expansion of Hill (1970), algorithm 395, from
    its `minus_log_of_unexplained`. -#}
{% macro correlation_normal_deviate(minus_log, n) -%}
    {%- set a = '(' ~ n ~ ' - 2.5)' -%}
    {%- set y = '(' ~ a ~ ' * ' ~ minus_log ~ ')' -%}
    case
        when {{ n }} > 3 then
            ((
                ((({{ y }} * -0.4 - 3.3) * {{ y }} - 24.0) * {{ y }} - 85.5)
                / (0.8 * {{ y }} * {{ y }} + 100.0 + 48 * {{ a }} * {{ a }})
                + {{ y }} + 3.0
            ) / (48 * {{ a }} * {{ a }}) + 1.0) * sqrt({{ y }})
    end
{%- endmacro %}
