{#- Aggregate, or over a `window`: a sum of doubles that hangs on their values alone. Plain sums hang on the order of rows
    as well, in their last digits, and threads change it; whole numbers do not. -#}
{% macro exact_sum(value, digits=15, window=none) -%}
    (
        cast(sum(cast(round(({{ value }}) * 1e{{ digits }}) as decimal(38, 0))){{ ' over (' ~ window ~ ')' if window is not none }} as double)
        / 1e{{ digits }}
    )
{%- endmacro %}
