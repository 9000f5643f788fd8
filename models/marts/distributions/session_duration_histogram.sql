with events as (
    select * from {{ ref('fct_compliance_events') }}
),

{{ histogram_ctes('events', 'session_duration_minutes', bins=var('session_duration_bins')) }}

select * from histogram
