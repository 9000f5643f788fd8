{#- Numbers in sentences. A cast to decimal rounds the same way on every engine. -#}

{% macro percent(fraction) -%}
    cast(cast(100.0 * {{ fraction }} as decimal(9, 1)) as {{ dbt.type_string() }}) || ' %'
{%- endmacro %}

{% macro percentage_points(fraction) -%}
    cast(cast(100.0 * {{ fraction }} as decimal(9, 2)) as {{ dbt.type_string() }})
    || ' percentage points'
{%- endmacro %}

{% macro whole_number(number) -%}
    cast({{ number }} as {{ dbt.type_string() }})
{%- endmacro %}

{#- A share that is set by a variable; known while compiling, so plain text. -#}
{% macro percent_of_var(variable) -%}
    {{ ((100 * var(variable)) | round(2) | string).rstrip('0').rstrip('.') }} %
{%- endmacro %}

{% macro rate_with_interval(rate, low, high, n) -%}
    {{ percent(rate) }} || ' ({{ percent_of_var("confidence_level") }} interval '
    || {{ percent(low) }} || ' to ' || {{ percent(high) }}
    || ', n = ' || {{ whole_number(n) }} || ')'
{%- endmacro %}

{#- The kind of event of which there are fewer. -#}
{% macro rarer_kind(violation_events, events) -%}
    case
        when 2 * {{ violation_events }} > {{ events }} then 'events without a violation'
        else 'violations'
    end
{%- endmacro %}

{#- What a row of violation_trend says, with `days_out_of_control` and the `rarer_kind` of the chart. -#}
{% macro trend_sentence(trend, chart) -%}
    case
        when {{ trend }}.days < 3
            then 'There are too few whole days to see a trend of the violation rate'
        when {{ trend }}.verdict = 'too_few'
            then
                'There are too few ' || {{ chart }}.rarer_kind
                || ' to see a trend of the violation rate'
        else
            case
                when {{ trend }}.verdict = 'differs' and {{ trend }}.change_per_week < 0
                    then 'The violation rate falls over time: '
                when {{ trend }}.verdict = 'differs'
                    then 'The violation rate rises over time: '
                else 'The data shows no evidence of a trend of the violation rate over time: '
            end
            || 'over ' || {{ whole_number(trend ~ '.days') }} || ' whole days it changed by '
            || case when {{ trend }}.change_per_week > 0 then '+' else '' end
            || {{ percentage_points(trend ~ '.change_per_week') }}
            || ' a week ({{ percent_of_var("confidence_level") }} interval '
            || {{ percentage_points(trend ~ '.change_per_week_low') }} || ' to '
            || {{ percentage_points(trend ~ '.change_per_week_high') }} || ', n = '
            || {{ whole_number(trend ~ '.events') }} || ')'
            || case
                when {{ trend }}.verdict = 'differs' then ''
                else
                    '; with {{ percent_of_var("power") }} power a change of '
                    || {{ percentage_points(trend ~ '.detectable_change') }}
                    || ' a week would have been seen'
            end
            || '; ' || {{ whole_number(chart ~ '.days_out_of_control') }}
            || ' of the days lie outside the control limits'
    end
    || coalesce(
        '; set aside, because no trend explains them: '
        || replace({{ trend }}.dates_set_aside, ',', ', '),
        ''
    )
    || '.'
{%- endmacro %}
