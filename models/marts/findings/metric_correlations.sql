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

logarithms as (
    select
        *,
        {{ minus_log_of_unexplained('pearson') }} as pearson_log,
        {{ minus_log_of_unexplained('spearman') }} as spearman_log
    from pairs
),

deviates as (
    select
        *,
        {{ correlation_normal_deviate('pearson_log', 'events') }} as pearson_deviate,
        {{ correlation_normal_deviate('spearman_log', 'events') }} as spearman_deviate
    from logarithms
),

correlations as (
    select
        metric_x,
        metric_y,
        events,
        pearson,
        spearman,
        {{ normal_two_sided_p('pearson_deviate') }} as p_value,
        {{ normal_two_sided_p('spearman_deviate') }} as spearman_p_value
    from deviates
)

select * from correlations
