{#- One tail serves all tests: binomial, F, Student's t and chi-square tails are the lower tail of a beta
    distribution, I_x(a, b). On the log odds of x its density falls off at least exponentially on either
    side, so that a sum over few points gives the integral from x on to all digits. -#}

{#- CTE `beta_nodes`: points and weights that turn an integral from 0 on into a sum (double exponential
    rule of Takahasi and Mori, 1974). -#}
{% macro beta_node_ctes() -%}
beta_places as (
    select (cast(generated_number as double) - 73) / 16 as place
    from ({{ dbt.generate_series(145) }}) as places
),

beta_nodes as (
    select
        exp(place - exp(-place)) as point,
        exp(place - exp(-place)) * (1 + exp(-place)) / 16 as weight
    from beta_places
)
{%- endmacro %}

{#- The columns of a beta distribution whose lower tail is the wanted one; `y` is 1 - x without
    cancellation. -#}
{% macro beta_of_f(f, degrees_of_freedom, denominator_degrees) -%}
    {%- set numerator = '(' ~ degrees_of_freedom ~ ' * (' ~ f ~ '))' -%}
    {{ denominator_degrees }} / 2e0 as a,
    {{ degrees_of_freedom }} / 2e0 as b,
    {{ denominator_degrees }} / ({{ denominator_degrees }} + {{ numerator }}) as x,
    {{ numerator }} / ({{ denominator_degrees }} + {{ numerator }}) as y
{%- endmacro %}

{#- Chi-square is F times its degrees of freedom, with ever more of them in the denominator. -#}
{% macro beta_of_chi_square(chi_square, degrees_of_freedom) -%}
    {{ beta_of_f(
        chi_square ~ ' / nullif(' ~ degrees_of_freedom ~ ', 0)', degrees_of_freedom, '1e15'
    ) }}
{%- endmacro %}

{#- As many successes or more; numbers need not be whole. -#}
{% macro beta_of_binomial(successes, trials, rate) -%}
    {{ successes }} * 1e0 as a,
    {{ trials }} - {{ successes }} + 1e0 as b,
    {{ rate }} as x,
    1 - {{ rate }} as y
{%- endmacro %}

{#- CTEs that end in `tails`: the `keys`, a, b, x and y of `tests`, and `p_value`, the probability
    I_x(a, b) of a smaller x, with its logarithm and the change of the log odds of x by which that grows
    by 1. The probability is the integral from x on over that over all, each in terms of the density
    at its start; the CTE `beta_nodes` must be there. -#}
{% macro beta_tail_ctes(tests, tails, keys='test_key') -%}
{{ tails }}_placed as (
    select
        {{ keys }},
        a,
        b,
        x,
        y,
        a / (a + b) as mode_x,
        b / (a + b) as mode_y,
        a * y < b * x as is_above_mode
    from {{ tests }}
    where x > 0 and y > 0 and a > 0 and b > 0
),

-- Towards zero from the mode and from x; beyond the mode both sides are swapped.
{{ tails }}_parts as (
    {%- for part, is_swapped, x, y in [
        ('below_mode', 'false', 'mode_x', 'mode_y'),
        ('above_mode', 'true', 'mode_x', 'mode_y'),
        ('beyond_x', 'is_above_mode', 'x', 'y'),
    ] %}
        select
            {{ keys }},
            '{{ part }}' as part,
            case when {{ is_swapped }} then b else a end as a,
            case when {{ is_swapped }} then a else b end as b,
            case when {{ is_swapped }} then {{ y }} else {{ x }} end as x,
            case when {{ is_swapped }} then {{ x }} else {{ y }} end as y
        from {{ tails }}_placed
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- The width over which the density falls by a factor of e or so.
{{ tails }}_scaled as (
    select
        *,
        greatest(1 / (abs(a * y - b * x) + sqrt((a + b) * x * y)), 4e-1 / a) as width
    from {{ tails }}_parts
),

-- By how much the log odds fall short of those at the start.
{{ tails }}_points as (
    select
        {{ keys }},
        part,
        a,
        b,
        x,
        y,
        width,
        width * point as distance,
        least(width * point, 600) as short_distance,
        weight
    from {{ tails }}_scaled
    cross join beta_nodes
),

-- Numbers that are multiplied by expm1(+-distance), which is 2 exp(+-distance / 2) sinh(+-distance / 2).
{{ tails }}_changes as (
    select
        *,
        y * 2 * exp(short_distance / 2) * sinh(short_distance / 2) as growth_of_y,
        -x * 2 * exp(-short_distance / 2) * sinh(short_distance / 2) as growth_of_x
    from {{ tails }}_points
),

{{ tails }}_integrals as (
    select
        {{ keys }},
        part,
        {{ exact_sum(
            'weight * exp(case'
            ~ ' when y > x then -a * distance - (a + b) * ' ~ log_of_one_plus('growth_of_x')
            ~ ' when distance < 600 then b * distance - (a + b) * ' ~ log_of_one_plus('growth_of_y')
            ~ ' else -a * distance - (a + b) * ln(y) end)',
            digits=15
        ) }} * max(width) as integral
    from {{ tails }}_changes
    group by {{ keys }}, part
),

{{ tails }}_sums as (
    select
        {{ keys }},
        sum(case when part <> 'beyond_x' then integral end) as whole,
        max(case when part = 'beyond_x' then integral end) as beyond_x
    from {{ tails }}_integrals
    group by {{ keys }}
),

-- The density at x over that at the mode, by deviances.
{{ tails }}_means as (
    select
        placed.*,
        sums.whole,
        sums.beyond_x,
        (placed.a + placed.b) * placed.x as mean_a,
        (placed.a + placed.b) * placed.y as mean_b
    from {{ tails }}_placed as placed
    inner join {{ tails }}_sums as sums
        on {% for key in keys.split(', ') %}placed.{{ key }} = sums.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
),

{{ tails }}_logarithms as (
    select
        *,
        ln(beyond_x / whole)
        - ({{ deviance('a', 'mean_a') }}) - ({{ deviance('b', 'mean_b') }}) as log_beyond_x
    from {{ tails }}_means
),

{{ tails }} as (
    select
        {% for key in keys.split(', ') %}tests.{{ key }},
        {% endfor -%}
        tests.a,
        tests.b,
        tests.x,
        tests.y,
        case
            when tests.a is null or tests.b is null or tests.a * tests.b <= 0 then null
            when tests.x <= 0 then 0.0
            when tests.y <= 0 then 1.0
            when found.is_above_mode then 1 - exp(found.log_beyond_x)
            else exp(found.log_beyond_x)
        end as p_value,
        case
            when found.is_above_mode then ln(1 - exp(found.log_beyond_x)) else found.log_beyond_x
        end as log_p_value,
        case
            when found.is_above_mode
                then (exp(-found.log_beyond_x) - 1) * found.beyond_x
            else found.beyond_x
        end as log_odds_step
    from {{ tests }} as tests
    left join {{ tails }}_logarithms as found
        on {% for key in keys.split(', ') %}tests.{{ key }} = found.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
)
{%- endmacro %}

{#- CTEs that end in `student_quantiles`: `test_key` and `quantile`, Student's t with the same two-sided
    probability as the normal deviate `z` of `levels`; from the approximation of Wallace (1959), four
    steps of Newton on the logarithm of the tail. -#}
{% macro student_quantile_ctes(levels) -%}
student_quantiles_0 as (
    select
        test_key,
        degrees_of_freedom,
        ln({{ normal_two_sided_p('z') }}) as log_level,
        -- Of x = exp(-square), 1 - x is 2 exp(-square / 2) sinh(square / 2).
        -ln(2 * exp(square / 2) * sinh(square / 2)) as log_odds
    from (
        select
            *,
            {{ square_of_root('z', 'degrees_of_freedom') }} as square
        from {{ levels }}
        where z <> 0
    ) as approximated
),

{%- for step in range(4) %}

student_tests_{{ step }} as (
    select
        *,
        degrees_of_freedom / 2e0 as a,
        0.5e0 as b,
        1 / (1 + exp(-log_odds)) as x,
        1 / (1 + exp(log_odds)) as y
    from student_quantiles_{{ step }}
),

{{ beta_tail_ctes('student_tests_' ~ step, 'student_tails_' ~ step) }},

student_quantiles_{{ step + 1 }} as (
    select
        tests.test_key,
        tests.degrees_of_freedom,
        tests.log_level,
        tests.log_odds + (tests.log_level - tails.log_p_value) * tails.log_odds_step as log_odds
    from student_tests_{{ step }} as tests
    inner join student_tails_{{ step }} as tails on tests.test_key = tails.test_key
),
{%- endfor %}

student_quantiles as (
    select
        levels.test_key,
        case
            when levels.z = 0 then 0.0
            else sign(levels.z) * sqrt(found.degrees_of_freedom * exp(-found.log_odds))
        end as quantile
    from {{ levels }} as levels
    left join student_quantiles_4 as found on levels.test_key = found.test_key
)
{%- endmacro %}

{#- ln(1 + x), by a series where it is small, because 1 + x would drop its digits there. -#}
{% macro log_of_one_plus(x) -%}
    (case
        when abs({{ x }}) < 0.01
            then {{ x }} * {{ polynomial(x, [1, -1 / 2, 1 / 3, -1 / 4, 1 / 5, -1 / 6, 1 / 7, -1 / 8]) }}
        else ln(1 + {{ x }})
    end)
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
