with users as (
    select * from {{ ref('dim_users') }}
),

{{ histogram_ctes('users', 'user_age', bins=var('user_age_bins')) }}

select * from histogram
