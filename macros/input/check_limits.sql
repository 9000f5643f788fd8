{#- Says in a sentence which limit lets values through that no table could be made from, or makes bands of
    ages that overlap. -#}
{% macro check_limits() %}
    {%- for limit, least in [
        ('maximum_session_duration_minutes', 0), ('minimum_user_age', -1e7), ('maximum_user_age', -1e7),
        ('maximum_concurrent_streams', 0),
    ] if not least <= var(limit) | float(1e8) <= 1e7 -%}
        {{ exceptions.raise_compiler_error(
            'The var ' ~ limit ~ ' is ' ~ var(limit) ~ '. It must be a number from '
            ~ ('0' if least == 0 else '-1e7') ~ ' to 1e7: larger values cannot be summed exactly.'
        ) }}
    {%- endfor -%}
    {%- set starts = var('age_band_starts') -%}
    {%- if not starts or starts | map('int') | select('gt', 0) | unique | sort | list != starts -%}
        {{ exceptions.raise_compiler_error(
            'The var age_band_starts is ' ~ starts ~ '. It must be a list of whole numbers of years above 0, each'
            ~ ' larger than the one before, such as [13, 18, 65].'
        ) }}
    {%- endif -%}
{% endmacro %}
