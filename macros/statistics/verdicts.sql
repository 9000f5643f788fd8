{#- The one place where a p-value becomes a statement. -#}

{#- Events of the kind that is rarer at a rate: those with a violation, or those without one. -#}
{% macro rarer_events(events, violation_rate) -%}
    {{ events }} * least({{ violation_rate }}, 1 - {{ violation_rate }})
{%- endmacro %}

{#- Cochran's rule (1954): too few when more than a fifth of the expected counts is below 5. -#}
{% macro dimension_verdict(sparse_members, members, p_adjusted) -%}
    case
        when 5 * {{ sparse_members }} > {{ members }} or {{ p_adjusted }} is null then 'too_few'
        when {{ p_adjusted }} < {{ var('alpha') }} then 'differs'
        else 'no_evidence'
    end
{%- endmacro %}

{% macro member_verdict(
    expected_in_member, expected_in_rest, dimension_verdict, p_adjusted, rate_difference
) -%}
    case
        when
            {{ expected_in_member }} < {{ var('minimum_expected_violations') }}
            or {{ expected_in_rest }} < {{ var('minimum_expected_violations') }}
            then 'too_few'
        when
            {{ dimension_verdict }} = 'differs'
            and {{ p_adjusted }} < {{ var('alpha') }}
            and abs({{ rate_difference }}) >= {{ var('minimum_effect_percentage_points') }} / 100.0
            then 'differs'
        else 'no_evidence'
    end
{%- endmacro %}

{% macro trend_verdict(days, violation_events, events, p_adjusted, change_over_period) -%}
    case
        when
            {{ days }} < 3
            or least({{ violation_events }}, {{ events }} - {{ violation_events }})
            < {{ var('minimum_expected_violations') }}
            or {{ p_adjusted }} is null
            then 'too_few'
        when
            {{ p_adjusted }} < {{ var('alpha') }}
            and abs({{ change_over_period }})
            >= {{ var('minimum_effect_percentage_points') }} / 100.0
            then 'differs'
        else 'no_evidence'
    end
{%- endmacro %}

{% macro risk_evidence(smallest_possible_p_value, p_value, p_adjusted) -%}
    case
        when {{ smallest_possible_p_value }} >= {{ var('alpha') }} then 'too_few_events'
        when {{ p_adjusted }} < {{ var('alpha') }} then 'confirmed'
        when {{ p_value }} < {{ var('alpha') }} then 'watch'
        else 'typical'
    end
{%- endmacro %}
