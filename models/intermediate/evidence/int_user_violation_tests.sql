with daily_totals as (
    select * from {{ ref('int_daily_user_totals') }}
),

users as (
    select
        user_id,
        cast(sum(events) as bigint) as trials,
        cast(sum(violation_events) as bigint) as successes
    from daily_totals
    group by user_id
),

overall as (
    select {{ ratio('sum(successes)', 'sum(trials)') }} as probability
    from users
),

outcomes as (
    select distinct
        users.trials,
        users.successes,
        overall.probability
    from users
    cross join overall
),

{{ binomial_tail_ctes('outcomes', longest=65536) }},

tests as (
    select
        binomial_tails.trials as events,
        binomial_tails.successes as violation_events,
        binomial_tails.p_value,
        power(overall.probability, binomial_tails.trials) as smallest_possible_p_value
    from binomial_tails
    cross join overall
)

select * from tests
