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
