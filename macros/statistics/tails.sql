{#- CTEs that end in `chi_square_tails`: the columns of `tests` and `p_value`, the probability that a
    chi-square deviate with whole `degrees_of_freedom` exceeds `chi_square`, as a finite sum of
    Poisson terms (Abramowitz and Stegun, 26.4.4 and 26.4.5). `tests` holds one row a `test_key`;
    beyond 2 x `longest` degrees of freedom there is no p-value. -#}
{% macro chi_square_tail_ctes(tests, longest) -%}
chi_square_terms as (
    select
        {{ tests }}.test_key,
        cast(terms.generated_number as double) - 1
        + case when mod({{ tests }}.degrees_of_freedom, 2) = 1 then 0.5 else 0 end as term,
        cast({{ tests }}.chi_square as double) / 2 as half_chi_square
    from {{ tests }}
    inner join ({{ dbt.generate_series(longest) }}) as terms
        on terms.generated_number <= floor({{ tests }}.degrees_of_freedom / 2.0)
    where {{ tests }}.chi_square > 0
),

chi_square_sums as (
    select
        test_key,
        sum({{ poisson_probability('term', 'half_chi_square') }}) as probability
    from chi_square_terms
    group by test_key
),

chi_square_roots as (
    select
        {{ tests }}.*,
        sqrt(cast({{ tests }}.chi_square as double)) as root
    from {{ tests }}
),

chi_square_tails as (
    select
        chi_square_roots.*,
        case
            when chi_square_roots.chi_square is null then null
            when chi_square_roots.degrees_of_freedom not between 1 and {{ 2 * longest }} then null
            when chi_square_roots.chi_square = 0 then 1.0
            else least(
                1.0,
                coalesce(chi_square_sums.probability, 0)
                + case
                    when mod(chi_square_roots.degrees_of_freedom, 2) = 1
                        then {{ normal_two_sided_p('root') }}
                    else 0
                end
            )
        end as p_value
    from chi_square_roots
    left join chi_square_sums on chi_square_roots.test_key = chi_square_sums.test_key
)
{%- endmacro %}

{#- CTEs that end in `binomial_tails`: the columns of `outcomes` (distinct `trials` and `successes`)
    and `p_value`, the probability of as many successes or more at rate `probability`, a column of
    it, too. The sum runs from the observed number away from the mean, to where terms no longer
    count in double precision; below the mean it is the complement of the lower tail. -#}
{% macro binomial_tail_ctes(outcomes, longest) -%}
binomial_ranges as (
    select
        trials,
        successes,
        cast(trials as double) as n,
        cast(successes as double) as k,
        cast(probability as double) as p,
        successes > trials * probability as is_above_mean,
        ceil(40 + 12 * sqrt(trials * probability * (1 - probability))) as terms
    from {{ outcomes }}
),

binomial_terms as (
    select
        ranges.trials,
        ranges.successes,
        ranges.n,
        ranges.p,
        case
            when ranges.is_above_mean then ranges.k + series.generated_number - 1
            else ranges.k - series.generated_number
        end as k
    from binomial_ranges as ranges
    inner join ({{ dbt.generate_series(longest) }}) as series
        on
            series.generated_number <= ranges.terms
            and series.generated_number
            <= case when ranges.is_above_mean then ranges.n - ranges.k + 1 else ranges.k end
    where ranges.p > 0 and ranges.p < 1
),

binomial_arguments as (
    select
        trials,
        successes,
        n,
        k,
        n - k as rest,
        n * p as mean,
        n * (1 - p) as rest_mean
    from binomial_terms
),

binomial_sums as (
    select
        trials,
        successes,
        sum({{ binomial_probability('n', 'k', 'rest', 'mean', 'rest_mean') }}) as probability
    from binomial_arguments
    group by trials, successes
),

binomial_tails as (
    select
        ranges.trials,
        ranges.successes,
        case
            when ranges.successes = 0 then 1.0
            when ranges.terms > {{ longest }} then null
            when ranges.p >= 1 then 1.0
            when ranges.p <= 0 then 0.0
            when ranges.is_above_mean then least(1.0, sums.probability)
            else greatest(0.0, 1.0 - sums.probability)
        end as p_value
    from binomial_ranges as ranges
    left join binomial_sums as sums
        on ranges.trials = sums.trials and ranges.successes = sums.successes
)
{%- endmacro %}
