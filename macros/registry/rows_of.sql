{#- Query for the entries of a list of the registry, one row each, with some of their keys as columns. -#}
{% macro rows_of(entries, columns) -%}
    select * from (
        values
        {%- for entry in entries %}
        (
            {%- for column in columns -%}
                {{ literal(entry[column]) }}{{ ', ' if not loop.last }}
            {%- endfor -%}
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ) as entries ({{ columns | join(', ') }})
{%- endmacro %}

{% macro text_list(texts) -%}
    {%- for entry in texts -%}
        {{ literal(entry) }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{% macro literal(value) -%}
    {%- if value is none -%}
        null
    {%- elif value is string -%}
        {{ dbt.string_literal(dbt.escape_single_quotes(value)) }}
    {%- else -%}
        {{ value | lower }}
    {%- endif -%}
{%- endmacro %}
