{#- Says in a sentence which limit lets values through that no table could be made from, or makes bands of
    ages that overlap. -#}
{% macro check_limits() %}
    {%- set minutes = var('maximum_session_duration_minutes') -%}
    {%- if not 0 <= minutes | float(-1) <= 1e7 -%}
        {{ exceptions.raise_compiler_error(
            'The var maximum_session_duration_minutes is ' ~ minutes ~ '. It must be a number from 0 to'
            ~ ' 1e7: longer sessions cannot be summed exactly.'
        ) }}
    {%- endif -%}
    {%- set starts = var('age_band_starts') -%}
    {%- if not starts or starts | map('int') | select('gt', 0) | unique | sort | list != starts -%}
        {{ exceptions.raise_compiler_error(
            'The var age_band_starts is ' ~ starts ~ '. It must be a list of whole numbers of years above 0, each'
            ~ ' larger than the one before, such as [13, 18, 65].'
        ) }}
    {%- endif -%}
{% endmacro %}
