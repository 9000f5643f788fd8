{#- The error of Stirling's formula: ln(Gamma(n + 1)) - ln(sqrt(2 pi n) (n / e)^n), for n > 0.
    The series serves n >= 16; a smaller n is moved up by 16 factors (Loader, 2000). -#}
{% macro stirling_error(n) -%}
    case
        when {{ n }} >= 16 then {{ stirling_series(n) }}
        else
            {{ stirling_series('(' ~ n ~ '+16)') }}
            + ({{ n }} + 16.5) * ln({{ n }} + 16) - ({{ n }} + 0.5) * ln({{ n }}) - 16
            - ln({% for i in range(1, 17) %}({{ n }}+{{ i }}){{ '*' if not loop.last }}{% endfor %})
    end
{%- endmacro %}

{% macro stirling_series(n) -%}
    {{ polynomial(
        '1/(' ~ n ~ '*' ~ n ~ ')', [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188]
    ) }} / {{ n }}
{%- endmacro %}

{#- The deviance x ln(x / mean) + mean - x, for x >= 0, without cancellation where the two are close
    (Loader, 2000); it is mean where x is 0. -#}
{% macro deviance(x, mean) -%}
    {%- set v = '((' ~ x ~ '-' ~ mean ~ ')/(' ~ x ~ '+' ~ mean ~ '))' -%}
    case
        when abs({{ x }} - {{ mean }}) < 0.1 * ({{ x }} + {{ mean }}) then
            ({{ x }} - {{ mean }}) * {{ v }}
            + 2 * {{ x }} * {{ v }} * {{ v }} * {{ v }} * {{ polynomial(
                v ~ '*' ~ v,
                [1 / 3, 1 / 5, 1 / 7, 1 / 9, 1 / 11, 1 / 13, 1 / 15, 1 / 17]
            ) }}
        when {{ x }} = 0 then {{ mean }}
        else {{ x }} * ln({{ x }} / {{ mean }}) + {{ mean }} - {{ x }}
    end
{%- endmacro %}

{#- mean^x e^-mean / Gamma(x + 1) for x >= 0 and mean > 0: the Poisson probability of x where x is
    whole (Loader, 2000). -#}
{% macro poisson_probability(x, mean) -%}
    case
        when {{ x }} = 0 then exp(-{{ mean }})
        else
            exp(-({{ stirling_error(x) }}) - ({{ deviance(x, mean) }}))
            / sqrt(6.283185307179586477 * {{ x }})
    end
{%- endmacro %}

{#- Probability of `successes` in `trials` without a sum of large logarithms (Loader, 2000). The
    arguments should be columns: they stand in the expression many times. -#}
{% macro binomial_probability(
    trials, successes, failures, expected_successes, expected_failures
) -%}
    exp(
        -({{ deviance(successes, expected_successes) }})
        - ({{ deviance(failures, expected_failures) }})
    )
    * case
        when {{ successes }} = 0 or {{ failures }} = 0 then 1
        else
            exp(
                ({{ stirling_error(trials) }})
                - ({{ stirling_error(successes) }})
                - ({{ stirling_error(failures) }})
            )
            * sqrt({{ trials }} / (6.283185307179586477 * {{ successes }} * {{ failures }}))
    end
{%- endmacro %}
