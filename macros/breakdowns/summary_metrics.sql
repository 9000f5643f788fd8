{#- Names of the metrics of `compliance_summary` whose value is of a kind, `number` or `text`; of all
    unless told. `violation_rate_of_region` stands for one metric a region. -#}
{% macro summary_metrics(kind=none) %}
    {%- set names = {
        'number': [
            'total_events', 'unique_users', 'compliant_events', 'compliant_rate', 'warning_events',
            'warning_rate', 'violation_events', 'violation_rate', 'average_session_duration_minutes',
            'average_concurrent_streams', 'median_user_age', 'high_risk_users', 'peak_traffic_hour',
            'peak_traffic_hour_events', 'highest_violation_hour', 'highest_violation_hour_rate',
            'highest_violation_regulation_rate', 'full_minus_none_sharing_rate',
            'most_common_event_type_events', 'raw_rows', 'accepted_rows', 'quarantined_rows',
            'exact_copies_dropped', 'quarantined_share',
        ],
        'text': [
            'first_event_date', 'last_event_date', 'regions_covered', 'regulations_tracked',
            'highest_violation_region', 'best_compliance_region', 'highest_violation_regulation',
            'highest_violation_data_sharing', 'most_common_event_type',
        ],
    } -%}
    {{- return(names[kind] if kind else names.number + names.text + ['violation_rate_of_region']) -}}
{% endmacro %}
