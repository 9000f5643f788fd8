{#- -ln(1 - r^2) of a correlation coefficient: a series where it is small, because 1 - r^2 would drop
    its digits there; 1 counts as all but 1. -#}
{% macro minus_log_of_unexplained(correlation) -%}
    {%- set square = '(' ~ correlation ~ ' * ' ~ correlation ~ ')' -%}
    case
        when {{ square }} < 0.001
            then {{ square }} * {{ polynomial(square, [1e0, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6]) }}
        when {{ square }} >= 0.001 then -ln(greatest(1 - {{ square }}, 1e-300))
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
