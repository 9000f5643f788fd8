{% macro risk_tier(violation_rate) -%}
    case
        when {{ violation_rate }} > {{ var('high_risk_above') }} then 'high'
        when {{ violation_rate }} > {{ var('medium_risk_above') }} then 'medium'
        else 'low'
    end
{%- endmacro %}
