{#- Aggregate, or over a `window`: a sum of doubles that hangs on their values alone. Plain sums hang on the order of rows
    as well, in their last digits, and threads change it; whole numbers do not. -#}
{% macro exact_sum(value, digits=15, window=none) -%}
    {{ sum_of_exact(as_exact(value, digits), digits, window) }}
{%- endmacro %}

{#- Its two steps, for values of which many rows share one. -#}
{% macro as_exact(value, digits=15) -%}
    cast(round(({{ value }}) * 1e{{ digits }}) as decimal(38, 0))
{%- endmacro %}

{% macro sum_of_exact(value, digits=15, window=none) -%}
    (
        cast(sum({{ value }}){{ ' over (' ~ window ~ ')' if window is not none }} as double)
        / 1e{{ digits }}
    )
{%- endmacro %}
