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

{% macro rate_with_interval(rate, low, high, n) -%}
    {{ percent(rate) }} || ' ({{ (100 * var("confidence_level")) | round(1) | string | replace(".0", "") }} % interval '
    || {{ percent(low) }} || ' to ' || {{ percent(high) }}
    || ', n = ' || {{ whole_number(n) }} || ')'
{%- endmacro %}

{% macro power_in_percent() -%}
    {{ (100 * var('power')) | round(1) | string | replace('.0', '') }} %
{%- endmacro %}
