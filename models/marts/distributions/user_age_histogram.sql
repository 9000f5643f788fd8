with users as (
    select * from {{ ref('dim_users') }}
    where user_age is not null
),

{{ histogram_ctes('users', 'user_age', bins=var('user_age_bins'), whole=true) }}

select * from histogram
