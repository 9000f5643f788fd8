{#- Student's t goes by its `root`, sqrt(ln(1 + t^2 / degrees of freedom)), in which the logarithm of
    the tail is nearly a parabola. -#}

{#- CTE `student_nodes`: points and weights that turn an integral of exp(-s) f(s) from 0 on into a
    sum, also where f is infinite at 0 (double exponential rule of Takahasi and Mori, 1974). -#}
{% macro student_node_ctes() -%}
student_places as (
    select (cast(generated_number as double) - 73) / 16 as place
    from ({{ dbt.generate_series(145) }}) as places
),

student_points as (
    select
        place,
        exp(place - exp(-place)) as point
    from student_places
),

student_nodes as (
    select
        point,
        point * (1 + exp(-place)) * exp(-point) / 16 as weight
    from student_points
)
{%- endmacro %}

{#- CTEs that end in `tails`: the `keys`, root and degrees of freedom of `tests`, and `p_value`, the
    probability that Student's t lies at least as far from zero, with its logarithm and the change of
    the root by which that falls by 1. The tail is the incomplete beta integral (Abramowitz and Stegun,
    26.7.1 and 26.5.2) with exp(-2 s / degrees of freedom) times its bound as the variable. -#}
{% macro student_tail_ctes(tests, tails, keys='test_key') -%}
{{ tails }}_sums as (
    select
        {{ keys }},
        root,
        degrees_of_freedom,
        -- 1 - exp(-x) is 2 exp(-x / 2) sinh(x / 2), which loses no digits near zero.
        sum(weight / sqrt(
            2 * exp(-root * root / 2) * sinh(root * root / 2)
            + exp(-root * root)
            * 2 * exp(-point / degrees_of_freedom) * sinh(point / degrees_of_freedom)
        )) as tail_sum,
        sum(weight / sqrt(
            2 * exp(-point / degrees_of_freedom) * sinh(point / degrees_of_freedom)
        )) as whole_sum
    from {{ tests }}
    cross join student_nodes
    group by {{ keys }}, root, degrees_of_freedom
),

{{ tails }}_logarithms as (
    select
        {{ keys }},
        root,
        degrees_of_freedom,
        ln(tail_sum / whole_sum) - root * root * degrees_of_freedom / 2 as log_p_value,
        tail_sum * sqrt(1 - exp(-root * root)) / nullif(degrees_of_freedom * root, 0) as root_step
    from {{ tails }}_sums
),

{{ tails }} as (
    select
        *,
        exp(log_p_value) as p_value
    from {{ tails }}_logarithms
)
{%- endmacro %}

{#- CTEs that end in `student_quantiles`: `test_key` and `quantile`, Student's t with the same two-sided
    probability as the normal deviate `z` of `levels`; from the approximation of Wallace (1959), four
    steps of Newton on the logarithm of the tail. -#}
{% macro student_quantile_ctes(levels) -%}
student_quantiles_0 as (
    select
        test_key,
        z,
        degrees_of_freedom,
        ln({{ normal_two_sided_p('z') }}) as log_level,
        abs(z) * (8.0 * degrees_of_freedom + 3) / (8.0 * degrees_of_freedom + 1)
        / sqrt(cast(degrees_of_freedom as double)) as root
    from {{ levels }}
),

{%- for step in range(4) %}

{{ student_tail_ctes(
    'student_quantiles_' ~ step, 'student_tails_' ~ step, keys='test_key, z, log_level'
) }},

student_quantiles_{{ step + 1 }} as (
    select
        test_key,
        z,
        degrees_of_freedom,
        log_level,
        root + coalesce((log_p_value - log_level) * root_step, 0) as root
    from student_tails_{{ step }}
),
{%- endfor %}

student_quantiles as (
    select
        test_key,
        sign(z) * sqrt(degrees_of_freedom * (exp(root * root) - 1)) as quantile
    from student_quantiles_4
)
{%- endmacro %}
