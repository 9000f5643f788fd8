{#- Polynomial by Horner's rule, coefficients from the constant term upwards. They are written as
    doubles, because engines read plain literals as decimals of few digits; and without blanks,
    because dbt takes a query of a unit test apart blank by blank. -#}
{% macro polynomial(x, coefficients) -%}
    {%- for coefficient in coefficients -%}
        {{ '(' if not loop.last }}{{ '%.17e' | format(coefficient) }}{{ '+' ~ x ~ '*' if not loop.last }}
    {%- endfor -%}
    {{ ')' * (coefficients | length - 1) }}
{%- endmacro %}

{#- Quotient of two polynomials in x. -#}
{% macro rational(x, numerator, denominator) -%}
    ({{ polynomial(x, numerator) }}/{{ polynomial(x, denominator) }})
{%- endmacro %}
