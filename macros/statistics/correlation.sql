{#- The normal deviate with the same two-sided probability as Student's t of a correlation
    coefficient with n - 2 degrees of freedom, by the expansion of Hill (1970), algorithm 395. The
    logarithm is a series where the coefficient is small, because 1 - r^2 would drop its digits. -#}
{% macro correlation_normal_deviate(correlation, n) -%}
    {%- set square = '(' ~ correlation ~ ' * ' ~ correlation ~ ')' -%}
    {%- set a = '(' ~ n ~ ' - 2.5)' -%}
    {%- set y = '(' ~ a ~ ' * ' ~ minus_log_of_complement(square) ~ ')' -%}
    case
        when {{ n }} > 3 then
            ((
                ((({{ y }} * -0.4 - 3.3) * {{ y }} - 24.0) * {{ y }} - 85.5)
                / (0.8 * {{ y }} * {{ y }} + 100.0 + 48 * {{ a }} * {{ a }})
                + {{ y }} + 3.0
            ) / (48 * {{ a }} * {{ a }}) + 1.0) * sqrt({{ y }})
    end
{%- endmacro %}

{#- -ln(1 - x) for 0 <= x < 1; 1 counts as all but 1. -#}
{% macro minus_log_of_complement(x) -%}
    (case
        when {{ x }} < 0.001 then {{ x }} * {{ polynomial(
            x, [1e0, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]
        ) }}
        else -ln(greatest(1 - {{ x }}, 1e-300))
    end)
{%- endmacro %}
