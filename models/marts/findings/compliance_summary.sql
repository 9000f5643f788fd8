with metrics as (
    select * from {{ ref('summary_metrics') }}
),

events as (
    select * from {{ ref('fct_compliance_events') }}
),

by_region as (
    select * from {{ ref('compliance_by_region') }}
),

by_regulation as (
    select * from {{ ref('compliance_by_regulation') }}
),

by_event_type as (
    select * from {{ ref('compliance_by_event_type') }}
),

by_hour as (
    select * from {{ ref('compliance_by_hour') }}
),

by_data_sharing as (
    select * from {{ ref('compliance_by_data_sharing') }}
),

by_user_risk_tier as (
    select * from {{ ref('compliance_by_user_risk_tier') }}
),

input_rows as (
    select * from {{ ref('int_input_rows') }}
),

totals as (
    select
        count(*) as total_events,
        count(distinct user_id) as unique_users,
        min(event_date) as first_event_date,
        max(event_date) as last_event_date,
        count(*) filter (where status = 'compliant') as compliant_events,
        count(*) filter (where status = 'warning') as warning_events,
        count(*) filter (where status = 'violation') as violation_events,
        avg(session_duration_minutes) as average_session_duration_minutes,
        avg(cast(concurrent_streams as double)) as average_concurrent_streams,
        percentile_cont(0.5) within group (order by user_age) as median_user_age
    from events
),

rates as (
    select
        {{ ratio('compliant_events', 'total_events') }} as compliant_rate,
        {{ ratio('warning_events', 'total_events') }} as warning_rate,
        {{ ratio('violation_events', 'total_events') }} as violation_rate
    from totals
),

covered_regions as (
    select {{ alphabetical_list('region') }} as regions_covered
    from by_region
    where events > 0
),

tracked_regulations as (
    select {{ alphabetical_list('regulation') }} as regulations_tracked
    from by_regulation
    where events > 0
),

high_risk as (
    select users as high_risk_users
    from by_user_risk_tier
    where risk_tier = 'high'
),

sharing_difference as (
    select
        max(case when data_shared = 'full' then violation_rate end)
        - max(case when data_shared = 'none' then violation_rate end)
            as full_minus_none_sharing_rate
    from by_data_sharing
),

-- Ties go to the member that comes first in the alphabet, or to the earlier hour.
highest as (
    select
        ({{ first_member('by_hour', 'event_hour', 'events') }}) as peak_traffic_hour,
        (select max(events) from by_hour) as peak_traffic_hour_events,
        ({{ first_member('by_hour', 'event_hour', 'violation_rate') }}) as highest_violation_hour,
        (select max(violation_rate) from by_hour) as highest_violation_hour_rate,
        ({{ first_member('by_region', 'region', 'violation_rate') }}) as highest_violation_region,
        ({{ first_member('by_region', 'region', 'compliant_rate') }}) as best_compliance_region,
        ({{ first_member('by_regulation', 'regulation', 'violation_rate') }})
            as highest_violation_regulation,
        (select max(violation_rate) from by_regulation) as highest_violation_regulation_rate,
        ({{ first_member('by_data_sharing', 'data_shared', 'violation_rate') }})
            as highest_violation_data_sharing,
        ({{ first_member('by_event_type', 'event_type', 'events') }}) as most_common_event_type,
        (select max(events) from by_event_type) as most_common_event_type_events
),

metric_values as (
    {{ metric_rows(
        'totals',
        numbers=[
            'total_events', 'unique_users', 'compliant_events', 'warning_events',
            'violation_events', 'average_session_duration_minutes', 'average_concurrent_streams',
            'median_user_age',
        ],
        texts=['first_event_date', 'last_event_date'],
    ) }}
    union all
    {{ metric_rows('rates', numbers=['compliant_rate', 'warning_rate', 'violation_rate']) }}
    union all
    {{ metric_rows('covered_regions', texts=['regions_covered']) }}
    union all
    {{ metric_rows('tracked_regulations', texts=['regulations_tracked']) }}
    union all
    {{ metric_rows('high_risk', numbers=['high_risk_users']) }}
    union all
    {{ metric_rows('sharing_difference', numbers=['full_minus_none_sharing_rate']) }}
    union all
    {{ metric_rows(
        'highest',
        numbers=[
            'peak_traffic_hour', 'peak_traffic_hour_events', 'highest_violation_hour',
            'highest_violation_hour_rate', 'highest_violation_regulation_rate',
            'most_common_event_type_events',
        ],
        texts=[
            'highest_violation_region', 'best_compliance_region', 'highest_violation_regulation',
            'highest_violation_data_sharing', 'most_common_event_type',
        ],
    ) }}
    union all
    {{ metric_rows(
        'input_rows',
        numbers=[
            'raw_rows', 'accepted_rows', 'quarantined_rows', 'exact_copies_dropped',
            'quarantined_share',
        ],
    ) }}
),

summary as (
    select
        metrics.section,
        metrics.metric,
        metrics.display_order,
        metric_values.value_number,
        metric_values.value_text,
        metrics.unit,
        metrics.description
    from metrics
    inner join metric_values on metrics.metric = metric_values.metric

    union all

    select
        metrics.section,
        'violation_rate_' || lower(by_region.region) as metric,
        metrics.display_order + by_region.display_order as display_order,
        by_region.violation_rate as value_number,
        cast(null as {{ dbt.type_string() }}) as value_text,
        metrics.unit,
        metrics.description
    from metrics
    cross join by_region
    where metrics.metric = 'violation_rate_of_region'
)

select * from summary
