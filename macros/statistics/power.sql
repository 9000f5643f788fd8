{#- Approximations that are good to a percent or two, which is enough to say how large a difference must
    be. -#}

{#- Quantile of F from the normal one `z`: cube roots are nearly normal (Paulson, 1942). Null where few
    degrees of freedom leave no such number. -#}
{% macro f_quantile(z, degrees_of_freedom, denominator_degrees) -%}
    {%- set h, k = '(2 / (9e0 * ' ~ degrees_of_freedom ~ '))', '(2 / (9e0 * ' ~ denominator_degrees ~ '))' -%}
    {%- set rest = '(power(1 - ' ~ k ~ ', 2) - power(' ~ z ~ ', 2) * ' ~ k ~ ')' -%}
    case
        when {{ rest }} > 0
            then power((
                (1 - {{ h }}) * (1 - {{ k }})
                + {{ z }} * sqrt(
                    power(1 - {{ k }}, 2) * {{ h }} + power(1 - {{ h }}, 2) * {{ k }}
                    - power({{ z }}, 2) * {{ h }} * {{ k }}
                )
            ) / {{ rest }}, 3)
    end
{%- endmacro %}

{#- Student's t with the same two-sided probability as the normal deviate `z` (Wallace, 1959). -#}
{% macro near_student_quantile(z, degrees_of_freedom) -%}
    sqrt({{ degrees_of_freedom }} * (exp({{ square_of_root(z, degrees_of_freedom) }}) - 1))
{%- endmacro %}

{#- ln(1 + t^2 / degrees of freedom) of that. -#}
{% macro square_of_root(z, degrees_of_freedom) -%}
    {%- set quotient -%}
        ((8e0 * {{ degrees_of_freedom }} + 3) / (8e0 * {{ degrees_of_freedom }} + 1))
    {%- endset -%}
    (power({{ z }} * {{ quotient }}, 2) / {{ degrees_of_freedom }})
{%- endmacro %}

{#- CTE `chi_square_nodes`: for each `test_key` of `tests`, values of chi-square with a `weight` each that
    stand for its distribution: the nodes of Gauss and Hermite, as cube roots are nearly normal (Wilson
    and Hilferty, 1931). -#}
{% macro chi_square_node_ctes(tests, degrees_of_freedom) -%}
hermite_nodes as (
    select
        cast(node as double) as node,
        cast(weight as double) as weight
    from (
        values
        (-3.750439717725742e0, 5.4826885597222e-4), (-2.366759410734541e0, 3.0757123967586e-2),
        (-1.154405394739968e0, 2.40123178605013e-1), (0e0, 4.57142857142857e-1),
        (1.154405394739968e0, 2.40123178605013e-1), (2.366759410734541e0, 3.0757123967586e-2),
        (3.750439717725742e0, 5.4826885597222e-4)
    ) as nodes (node, weight)
),

chi_square_nodes as (
    select
        test_key,
        weight,
        case
            when {{ degrees_of_freedom }} > 0
                then ({{ degrees_of_freedom }}) * power(greatest(
                    0.0,
                    1 - 2 / (9e0 * ({{ degrees_of_freedom }}))
                    + node * sqrt(2 / (9e0 * ({{ degrees_of_freedom }})))
                ), 3)
            else 0
        end as chi_square
    from {{ tests }}
    cross join hermite_nodes
)
{%- endmacro %}
