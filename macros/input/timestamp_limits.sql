{% macro earliest_timestamp() -%}
    cast('{{ var("earliest_timestamp") }}' as timestamp)
{%- endmacro %}

{% macro latest_timestamp() -%}
    {%- if var('latest_timestamp') == 'now' -%}
        cast({{ dbt.current_timestamp() }} as timestamp)
    {%- else -%}
        cast('{{ var("latest_timestamp") }}' as timestamp)
    {%- endif -%}
{%- endmacro %}
