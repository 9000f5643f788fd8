{#- Bounds of the score interval of Wilson (1927) for a binomial rate; `z` is the normal quantile of
    the level. Of the two forms of each root, the one that subtracts nothing is taken, so that no
    digit is lost near 0 of n and n of n. -#}
{% macro wilson_low(successes, trials, z) -%}
    cast({{ successes }} as double) * {{ successes }}
    / nullif({{ trials }} * {{ wilson_sum(successes, trials, z) }}, 0)
{%- endmacro %}

{% macro wilson_high(successes, trials, z) -%}
    {%- set failures = '(' ~ trials ~ ' - ' ~ successes ~ ')' -%}
    case
        when {{ successes }} < {{ failures }}
            then {{ wilson_sum(successes, trials, z) }} / ({{ trials }} + {{ z }} * {{ z }})
        else 1 - {{ wilson_low(failures, trials, z) }}
    end
{%- endmacro %}

{% macro wilson_sum(successes, trials, z) -%}
    (
        {{ successes }} + {{ z }} * {{ z }} / 2
        + {{ z }} * sqrt(
            cast({{ successes }} as double) * ({{ trials }} - {{ successes }}) / nullif({{ trials }}, 0)
            + {{ z }} * {{ z }} / 4
        )
    )
{%- endmacro %}
