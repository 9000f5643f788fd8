{% set metrics = [
    'is_violation', 'session_duration_minutes', 'concurrent_streams', 'user_age', 'event_hour'
] %}

with events as (
    select * from {{ ref('int_accepted_events') }}
),

measured as (
    select
        case when is_violation then 1 else 0 end as is_violation,
        session_duration_minutes,
        concurrent_streams,
        user_age,
        event_hour
    from events
),

{{ average_rank_ctes('measured', metrics) }},

pairs as (
    {{ correlate_pairs('ranked', metrics) }}
),

-- One row a coefficient, because both go through the same long formulas.
coefficients as (
    select
        pairs.*,
        kinds.kind,
        case kinds.kind when 'pearson' then pairs.pearson else pairs.spearman end as coefficient
    from pairs
    cross join (values ('pearson'), ('spearman')) as kinds (kind)
),

logarithms as (
    select
        *,
        {{ minus_log_of_unexplained('coefficient') }} as minus_log
    from coefficients
),

deviates as (
    select
        *,
        {{ correlation_normal_deviate('minus_log', 'events') }} as deviate
    from logarithms
),

tested as (
    select
        *,
        {{ normal_two_sided_p('deviate') }} as p_value
    from deviates
),

correlations as (
    select
        metric_x,
        metric_y,
        events,
        pearson,
        spearman,
        max(case when kind = 'pearson' then p_value end) as p_value,
        max(case when kind = 'spearman' then p_value end) as spearman_p_value
    from tested
    group by metric_x, metric_y, events, pearson, spearman
)

select * from correlations
