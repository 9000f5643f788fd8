{#- The columns that all breakdowns share, from the counts joined to the known members:
    zero where a member has no events, and no rate there. -#}
{% macro compliance_measures(counts) -%}
    coalesce({{ counts }}.events, 0) as events,
    coalesce({{ counts }}.compliant_events, 0) as compliant_events,
    coalesce({{ counts }}.warning_events, 0) as warning_events,
    coalesce({{ counts }}.violation_events, 0) as violation_events,
    coalesce({{ counts }}.users, 0) as users,
    {{ ratio('coalesce(' ~ counts ~ '.events, 0)', 'sum(' ~ counts ~ '.events) over ()') }}
        as event_share,
    {{ ratio(counts ~ '.compliant_events', counts ~ '.events') }} as compliant_rate,
    {{ ratio(counts ~ '.warning_events', counts ~ '.events') }} as warning_rate,
    {{ ratio(counts ~ '.violation_events', counts ~ '.events') }} as violation_rate
{%- endmacro %}
