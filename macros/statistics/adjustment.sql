{#- Adjusted p-values are made in two steps, because a window cannot stand inside a window: first
    the step of each p-value within its family, then the running extreme over the steps. Rows
    without a p-value belong to no family. `ties` makes the order total. -#}

{#- Holm (1979): the smallest p-value times the size of the family, the next times one less, ... -#}
{% macro holm_step(p_value, ties, family=none) -%}
    {{ p_value }} * (
        count({{ p_value }}) over ({{ partition_by(family) }})
        - row_number() over (
            {{ partition_by(family) }} order by {{ p_value }} asc nulls last, {{ ties }} asc
        ) + 1
    )
{%- endmacro %}

{% macro holm_adjusted(step, p_value, ties, family=none) -%}
    case
        when {{ p_value }} is not null then least(1.0, max({{ step }}) over (
            {{ partition_by(family) }}
            order by {{ p_value }} asc nulls last, {{ ties }} asc
            rows between unbounded preceding and current row
        ))
    end
{%- endmacro %}

{#- Benjamini and Hochberg (1995): the p-value of rank i times size / i. A row stands for `copies`
    p-values that are the same. Rounded, size / i is never below 1, nor the product below the p-value. -#}
{% macro benjamini_hochberg_step(p_value, ties, family=none, copies='1') -%}
    {{ p_value }} * (
        cast(
            sum(case when {{ p_value }} is not null then {{ copies }} end)
            over ({{ partition_by(family) }}) as double
        )
        / sum({{ copies }}) over (
            {{ partition_by(family) }} order by {{ p_value }} asc nulls last, {{ ties }} asc
            rows between unbounded preceding and current row
        )
    )
{%- endmacro %}

{% macro benjamini_hochberg_adjusted(step, p_value, ties, family=none) -%}
    case
        when {{ p_value }} is not null then least(1.0, min({{ step }}) over (
            {{ partition_by(family) }}
            order by {{ p_value }} asc nulls last, {{ ties }} asc
            rows between current row and unbounded following
        ))
    end
{%- endmacro %}

{% macro partition_by(family) -%}
    {{ 'partition by ' ~ family if family }}
{%- endmacro %}
