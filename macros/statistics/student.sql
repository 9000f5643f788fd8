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

{#- CTEs that end in `tails`: the columns of `tests` and `p_value`, the probability that Student's t
    lies at least as far from zero as the `root` says, with its logarithm and the change of the root
    by which that falls by 1. The tail is the incomplete beta integral (Abramowitz and Stegun, 26.7.1
    and 26.5.2) with exp(-2 s / degrees of freedom) times its bound as the variable. -#}
{% macro student_tail_ctes(tests, tails) -%}
{{ tails }}_sums as (
    select
        {{ tests }}.test_key,
        -- 1 - exp(-x) is 2 exp(-x / 2) sinh(x / 2), which loses no digits near zero.
        sum(student_nodes.weight / sqrt(
            2 * exp(-{{ tests }}.root * {{ tests }}.root / 2)
            * sinh({{ tests }}.root * {{ tests }}.root / 2)
            + exp(-{{ tests }}.root * {{ tests }}.root)
            * 2 * exp(-student_nodes.point / {{ tests }}.degrees_of_freedom)
            * sinh(student_nodes.point / {{ tests }}.degrees_of_freedom)
        )) as tail_sum,
        sum(student_nodes.weight / sqrt(
            2 * exp(-student_nodes.point / {{ tests }}.degrees_of_freedom)
            * sinh(student_nodes.point / {{ tests }}.degrees_of_freedom)
        )) as whole_sum
    from {{ tests }}
    cross join student_nodes
    group by {{ tests }}.test_key
),

{{ tails }}_logarithms as (
    select
        {{ tests }}.*,
        ln(sums.tail_sum / sums.whole_sum)
        - {{ tests }}.root * {{ tests }}.root * {{ tests }}.degrees_of_freedom / 2 as log_p_value,
        sums.tail_sum * sqrt(1 - exp(-{{ tests }}.root * {{ tests }}.root))
        / nullif({{ tests }}.degrees_of_freedom * {{ tests }}.root, 0) as root_step
    from {{ tests }}
    inner join {{ tails }}_sums as sums on {{ tests }}.test_key = sums.test_key
),

{{ tails }} as (
    select
        *,
        exp(log_p_value) as p_value
    from {{ tails }}_logarithms
)
{%- endmacro %}

{#- CTEs that end in `student_quantiles`: the columns of `levels` and `quantile`, Student's t with the
    same two-sided probability as the normal deviate `z`; from the approximation of Wallace (1959),
    four steps of Newton on the logarithm of the tail. -#}
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

{{ student_tail_ctes('student_quantiles_' ~ step, 'student_tails_' ~ step) }},

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
        {{ levels }}.*,
        sign(found.z) * sqrt(found.degrees_of_freedom * (exp(found.root * found.root) - 1))
            as quantile
    from {{ levels }}
    inner join student_quantiles_4 as found on {{ levels }}.test_key = found.test_key
)
{%- endmacro %}
