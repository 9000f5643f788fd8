{#- Polynomial by Horner's rule, coefficients from the constant term upwards, in `scale` times x. They
    are written as doubles, because engines read plain literals as decimals of few digits; and
    without blanks, because dbt takes a query of a unit test apart blank by blank. -#}
{% macro polynomial(x, coefficients, scale=1) -%}
    {%- for coefficient in coefficients -%}
        {{ '(' if not loop.last }}{{ '%.17e' | format(coefficient * scale ** loop.index0) }}
        {{- '+' ~ x ~ '*' if not loop.last }}
    {%- endfor -%}
    {{ ')' * (coefficients | length - 1) }}
{%- endmacro %}

{#- Quotient of two polynomials in `scale` times x. -#}
{% macro rational(x, numerator, denominator, scale=1) -%}
    ({{ polynomial(x, numerator, scale) }}/{{ polynomial(x, denominator, scale) }})
{%- endmacro %}
