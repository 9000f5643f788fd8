{#- Quantile of the chi-square distribution from the normal one (Wilson and Hilferty, 1931); good to
    about a percent, which is enough to say how large a difference must be. -#}
{% macro chi_square_quantile(z, degrees_of_freedom) -%}
    {{ degrees_of_freedom }} * power(
        1 - 2 / (9.0 * nullif({{ degrees_of_freedom }}, 0))
        + {{ z }} * sqrt(2 / (9.0 * nullif({{ degrees_of_freedom }}, 0))),
        3
    )
{%- endmacro %}

{#- The noncentrality at which a chi-square test exceeds its critical value with the power that
    belongs to `z_power`, where mean df + l and variance 2 (df + 2 l) make it nearly normal
    (Patnaik, 1949). -#}
{% macro detectable_noncentrality(critical_value, degrees_of_freedom, z_power) -%}
    {%- set excess = '(' ~ critical_value ~ ' - ' ~ degrees_of_freedom ~ ')' -%}
    {%- set half = '(' ~ excess ~ ' + 2 * ' ~ z_power ~ ' * ' ~ z_power ~ ')' -%}
    {{ half }} + sqrt(
        {{ half }} * {{ half }} - {{ excess }} * {{ excess }}
        + 2 * {{ z_power }} * {{ z_power }} * {{ degrees_of_freedom }}
    )
{%- endmacro %}
