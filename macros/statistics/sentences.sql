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

{#- What became of the raw rows, from the columns of `int_input_rows`. -#}
{% macro input_sentence() -%}
    {{ percent('coalesce(quarantined_share, 0)') }} || ' of the raw rows are quarantined ('
    || {{ whole_number('quarantined_rows') }} || ' of ' || {{ whole_number('raw_rows') }}
    || '), and ' || {{ whole_number('exact_copies_dropped') }} || ' exact copies were dropped; '
    || case
        when superseded_rows > 0
            then {{ whole_number('superseded_rows') }} || ' rows gave way to another of their event; '
        else ''
    end
    || case
        when ambiguous_local_times > 0
            then
                {{ whole_number('ambiguous_local_times') }} || ' lie in an hour that came twice as clocks of '
                || '{{ var("events_time_zone") }} went back; '
        else ''
    end
    || 'every figure speaks for the other ' || {{ whole_number('accepted_rows') }} || '.'
{%- endmacro %}

{#- The same of a member that loses many of its rows; `noun` is null for what is no dimension. -#}
{% macro member_input_sentence(members, noun) -%}
    'Of the raw rows of ' || coalesce({{ noun }}, {{ members }}.dimension) || ' '
    || {{ members }}.member || ', ' || {{ percent(members ~ '.quarantined_share') }} || ' are quarantined ('
    || {{ whole_number(members ~ '.quarantined_rows') }} || ' of '
    || {{ whole_number(members ~ '.quarantined_rows + ' ~ members ~ '.accepted_rows') }}
    || '); its figures speak for the others only.'
{%- endmacro %}
