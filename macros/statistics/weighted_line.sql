{#- CTEs that end in `line`: the columns of `points`, and of their line of weighted least squares the
    `slope`, the `variation` of x about its mean (the weighted sum of squares), and for each point its
    `residual` and `leverage`. No slope where x does not vary. -#}
{% macro weighted_line_ctes(points, line) -%}
{{ line }}_centered as (
    select
        *,
        {{ exact_sum('weight', window='') }} as total_weight,
        x - {{ ratio(exact_sum('weight * x', window=''), exact_sum('weight', window='')) }} as centered_x,
        y - {{ ratio(exact_sum('weight * y', window=''), exact_sum('weight', window='')) }} as centered_y
    from {{ points }}
),

{{ line }}_sloped as (
    select
        *,
        {{ exact_sum('weight * centered_x * centered_x', window='') }} as variation,
        {{ ratio(
            exact_sum('weight * centered_x * centered_y', window=''),
            exact_sum('weight * centered_x * centered_x', window='')
        ) }} as slope
    from {{ line }}_centered
),

{{ line }} as (
    select
        *,
        centered_y - slope * centered_x as residual,
        weight * (1 / total_weight + centered_x * centered_x / nullif(variation, 0)) as leverage
    from {{ line }}_sloped
)
{%- endmacro %}
