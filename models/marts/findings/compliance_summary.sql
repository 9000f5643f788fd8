{% set metrics = headline_metrics() %}

with metrics as (
    {{ rows_of(metrics, [
        'metric', 'section', 'display_order', 'unit', 'description', 'dimension',
    ]) }}
),

users as (
    select * from {{ ref('dim_users') }}
),

value_counts as (
    select * from {{ ref('int_value_counts') }}
),

by_region as (
    select * from {{ ref('compliance_by_region') }}
    where region <> 'unknown'
),

by_regulation as (
    select * from {{ ref('compliance_by_regulation') }}
    where regulation <> 'unknown'
),

by_event_type as (
    select * from {{ ref('compliance_by_event_type') }}
    where event_type <> 'unknown'
),

by_member as (
    select * from {{ ref('compliance_by_member') }}
),

days as (
    select * from {{ ref('int_days') }}
),

by_hour as (
    select * from {{ ref('compliance_by_hour') }}
),

by_data_sharing as (
    select * from {{ ref('compliance_by_data_sharing') }}
    where data_shared <> 'unknown'
),

by_user_risk_tier as (
    select * from {{ ref('compliance_by_user_risk_tier') }}
),

input_rows as (
    select * from {{ ref('int_input_rows') }}
),

totals as (
    select
        cast(sum(events) as bigint) as total_events,
        (select count(*) from users) as unique_users,
        (select {{ as_text('min(event_date)') }} from days) as first_event_date,
        (select {{ as_text('max(event_date)') }} from days) as last_event_date,
        cast(sum(compliant_events) as bigint) as compliant_events,
        cast(sum(warning_events) as bigint) as warning_events,
        cast(sum(violation_events) as bigint) as violation_events
    from by_hour
),

-- Of each column that may be missing, the events that have it.
present_values as (
    {%- for column in event_columns() if not column.is_required %}
        select
            '{{ column.name }}' as column_name,
            {%- if column.kind == 'id' %}
                (select sum(events) from users) as events
            {%- elif column.kind in ('member', 'attribute') %}
                (
                    select sum(events) from by_member
                    where dimension = '{{ column.name }}' and member <> 'unknown'
                ) as events
            {%- else %}
                (
                    select sum(events) from value_counts
                    where metric = '{{ column.name }}'
                ) as events
            {%- endif %}
        {{ 'union all' if not loop.last }}
    {%- else %}
        select
            cast(null as {{ dbt.type_string() }}) as column_name,
            cast(null as bigint) as events
        where false
    {%- endfor %}
),

average_session as (
    select
        {{ ratio(exact_sum('events * metric_value'), 'sum(events)') }} as average_session_duration_minutes
    from value_counts
    where metric = 'session_duration_minutes'
),

average_streams as (
    select {{ ratio(exact_sum('events * metric_value'), 'sum(events)') }} as average_concurrent_streams
    from value_counts
    where metric = 'concurrent_streams'
),

median_age as (
    select {{ quantile_of_counts(0.5) }} as median_user_age
    from value_counts
    where metric = 'user_age'
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
    select max(users) as high_risk_users
    from by_user_risk_tier
    where risk_tier = 'high'
),

sharing_difference as (
    select
        'full' as compared_sharing_level,
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

-- One row, whose columns are named like the metrics.
figures as (
    select
        totals.*,
        average_session.*,
        average_streams.*,
        median_age.*,
        rates.*,
        covered_regions.*,
        tracked_regulations.*,
        high_risk.*,
        sharing_difference.*,
        highest.*,
        input_rows.*
    from totals
    cross join average_session
    cross join average_streams
    cross join median_age
    cross join rates
    cross join covered_regions
    cross join tracked_regulations
    cross join high_risk
    cross join sharing_difference
    cross join highest
    cross join input_rows
),

-- The verdict on the member that a figure speaks of.
verdicts as (
    select
        metrics.metric,
        by_member.verdict
    from metrics
    cross join figures
    inner join by_member
        on
            metrics.dimension = by_member.dimension
            and by_member.member = case metrics.metric
                {%- for metric in metrics if metric.dimension %}
                    when '{{ metric.metric }}' then {{ as_text('figures.' ~ metric.member) }}
                {%- endfor %}
            end
),

summary as (
    select
        metrics.section,
        metrics.metric,
        metrics.display_order,
        cast(case metrics.metric
            {%- for metric in metrics if metric.kind == 'number' %}
                when '{{ metric.metric }}' then figures.{{ metric.metric }}
            {%- endfor %}
        end as double) as value_number,
        case metrics.metric
            {%- for metric in metrics if metric.kind == 'text' %}
                when '{{ metric.metric }}' then figures.{{ metric.metric }}
            {%- endfor %}
        end as value_text,
        metrics.unit,
        verdicts.verdict,
        metrics.description
    from metrics
    cross join figures
    left join verdicts on metrics.metric = verdicts.metric
    where metrics.metric not in ('violation_rate_of_region', 'missing_share_of_column')

    union all

    select
        metrics.section,
        'violation_rate_' || lower(by_region.region) as metric,
        metrics.display_order + by_region.display_order as display_order,
        by_region.violation_rate as value_number,
        cast(null as {{ dbt.type_string() }}) as value_text,
        metrics.unit,
        by_region.verdict,
        metrics.description
    from metrics
    cross join by_region
    where metrics.metric = 'violation_rate_of_region'

    union all

    select
        metrics.section,
        'missing_' || present_values.column_name || '_share' as metric,
        cast(
            metrics.display_order + row_number() over (order by present_values.column_name)
            as integer
        ) as display_order,
        1 - {{ ratio('coalesce(present_values.events, 0)', 'totals.total_events') }} as value_number,
        cast(null as {{ dbt.type_string() }}) as value_text,
        metrics.unit,
        cast(null as {{ dbt.type_string() }}) as verdict,
        metrics.description
    from metrics
    cross join present_values
    cross join totals
    where metrics.metric = 'missing_share_of_column'
)

select * from summary
