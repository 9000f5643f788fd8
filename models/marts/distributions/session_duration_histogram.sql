with value_counts as (
    select * from {{ ref('int_value_counts') }}
    where metric = 'session_duration_minutes'
),

{{ histogram_ctes(
    'value_counts', 'metric_value', bins=var('session_duration_bins'), copies='events'
) }}

select * from histogram
