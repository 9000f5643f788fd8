with users as (
    select * from {{ ref('dim_users') }}
),

{{ histogram_ctes('users', 'violation_rate', bins=var('user_violation_rate_bins')) }}

select * from histogram
