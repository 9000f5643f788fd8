{#- The dimensions whose members are tested for differences in the violation rate: the columns of an
    event that make up the member, and its SQL expression as text. -#}
{% macro tested_dimensions() %}
    {{- return({
        'region': {'columns': 'region', 'member': 'region'},
        'regulation': {'columns': 'regulation', 'member': 'regulation'},
        'region_and_regulation': {
            'columns': 'region, regulation',
            'member': region_and_regulation('region', 'regulation'),
        },
        'event_type': {'columns': 'event_type', 'member': 'event_type'},
        'data_shared': {'columns': 'data_shared', 'member': 'data_shared'},
        'event_hour': {'columns': 'event_hour', 'member': as_text('event_hour')},
        'concurrent_streams': {
            'columns': 'concurrent_streams',
            'member': as_text('concurrent_streams'),
        },
        'event_date': {'columns': 'event_date', 'member': as_text('event_date')},
    }) -}}
{% endmacro %}

{% macro region_and_regulation(region, regulation) -%}
    {{ region }} || ' / ' || {{ regulation }}
{%- endmacro %}
