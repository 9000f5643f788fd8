{#- Says in a sentence which limit lets values through that no table could be made from. -#}
{% macro check_limits() %}
    {%- set minutes = var('maximum_session_duration_minutes') -%}
    {%- if not 0 <= minutes | float(-1) <= 1e9 -%}
        {{ exceptions.raise_compiler_error(
            'The var maximum_session_duration_minutes is ' ~ minutes ~ '. It must be a number from 0 to'
            ~ ' 1e9: longer sessions cannot be summed exactly.'
        ) }}
    {%- endif -%}
{% endmacro %}
