{#- Bounds of the score interval of Wilson (1927) for a binomial rate; `z` is the normal quantile of
    the level. Written as quotients, which lose no digits at 0 of n and n of n. -#}
{% macro wilson_low(successes, trials, z) -%}
    cast({{ successes }} as double) * {{ successes }}
    / nullif({{ trials }} * {{ wilson_denominator(successes, trials, z) }}, 0)
{%- endmacro %}

{% macro wilson_high(successes, trials, z) -%}
    {%- set failures = '(' ~ trials ~ ' - ' ~ successes ~ ')' -%}
    1 - cast({{ failures }} as double) * {{ failures }}
    / nullif({{ trials }} * {{ wilson_denominator(failures, trials, z) }}, 0)
{%- endmacro %}

{% macro wilson_denominator(successes, trials, z) -%}
    (
        {{ successes }} + {{ z }} * {{ z }} / 2
        + {{ z }} * sqrt(
            {{ successes }} * ({{ trials }} - {{ successes }}) / nullif(cast({{ trials }} as double), 0)
            + {{ z }} * {{ z }} / 4
        )
    )
{%- endmacro %}
