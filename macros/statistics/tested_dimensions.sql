{#- The dimensions whose members are tested for differences in the violation rate, each with the SQL
    expression of its member as text, over the columns of an event. -#}
{% macro tested_dimensions() %}
    {{- return({
        'region': 'region',
        'regulation': 'regulation',
        'region_and_regulation': region_and_regulation('region', 'regulation'),
        'event_type': 'event_type',
        'data_shared': 'data_shared',
        'event_hour': 'cast(event_hour as ' ~ dbt.type_string() ~ ')',
        'concurrent_streams': 'cast(concurrent_streams as ' ~ dbt.type_string() ~ ')',
        'event_date': 'cast(event_date as ' ~ dbt.type_string() ~ ')',
    }) -}}
{% endmacro %}

{% macro region_and_regulation(region, regulation) -%}
    {{ region }} || ' / ' || {{ regulation }}
{%- endmacro %}
