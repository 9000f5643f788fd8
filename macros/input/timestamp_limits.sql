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

{#- Moments are kept to the microsecond: one that seems to be the limit may lie up to a microsecond
    after it, by the digits that its text has beyond. -#}
{% macro is_in_future(moment, raw_moment) -%}
    case
        when {{ moment }} = {{ latest_timestamp() }}
            then {{ matches_pattern(
                as_text(raw_moment), '.*[.][0-9]{6}[0-9]*[1-9][0-9]*([^0-9].*)?'
            ) }}
        else {{ moment }} > {{ latest_timestamp() }}
    end
{%- endmacro %}
