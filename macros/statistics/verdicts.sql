{#- The one place where a p-value becomes a statement. -#}

{#- Somebody who looks at the figures every day sees many of them, and one of them must not be called
    a difference by chance. Of 84 daily builds on noise, some verdict claims one as often as a single
    look would at some ten times the level: measured by `ott calibrate`. -#}
{% macro daily_looks() -%}
    {{- return(10) -}}
{%- endmacro %}

{#- What a p-value must be below at a look, for the var `alpha` over all looks. -#}
{% macro level_of_a_look() -%}
    {{- return(var('alpha') / (1 if var('looks') == 'single' else daily_looks())) -}}
{%- endmacro %}

{#- A p-value for somebody who looks every day, whatever the var `looks` says. -#}
{% macro p_of_daily_looks(p_value) -%}
    {#- Engines differ in whether least passes over a null. -#}
    case when {{ p_value }} is not null then least(1.0, {{ daily_looks() }} * {{ p_value }}) end
{%- endmacro %}

{% macro is_claimed(p_adjusted) -%}
    {{ p_adjusted }} < {{ level_of_a_look() }}
{%- endmacro %}

{#- Whether a difference of fractions is worth telling. -#}
{% macro is_large_enough(difference) -%}
    abs({{ difference }}) >= {{ var('minimum_effect_percentage_points') }} / 100.0
{%- endmacro %}

{% macro trend_verdict(days, violation_events, events, p_adjusted, change_over_period) -%}
    case
        when
            {{ days }} < 3
            or least({{ violation_events }}, {{ events }} - {{ violation_events }})
            < {{ var('minimum_expected_violations') }}
            or {{ p_adjusted }} is null
            then 'too_few'
        when {{ is_claimed(p_adjusted) }} and {{ is_large_enough(change_over_period) }}
            then 'differs'
        else 'no_evidence'
    end
{%- endmacro %}

{% macro risk_evidence(smallest_possible_p_value, p_value, p_adjusted, rate_difference) -%}
    case
        when not {{ is_claimed(smallest_possible_p_value) }} then 'too_few_events'
        when {{ is_claimed(p_adjusted) }} and {{ is_large_enough(rate_difference) }} then 'confirmed'
        when {{ is_claimed(p_value) }} then 'watch'
        else 'typical'
    end
{%- endmacro %}
