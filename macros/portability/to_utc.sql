{#- A local time of a zone in UTC. The hour that comes twice when clocks go back is the later one on
    DuckDB, the earlier one on Spark; `ambiguous_local_times` counts them. -#}
{% macro duckdb__to_utc(moment, zone) -%}
    (({{ moment }}) at time zone '{{ zone }}') at time zone 'UTC'
{%- endmacro %}

{% macro default__to_utc(moment, zone) -%}
    to_utc_timestamp({{ moment }}, '{{ zone }}')
{%- endmacro %}

{% macro epoch_microseconds(number) %}
    {{- return(adapter.dispatch('epoch_microseconds')(number)) -}}
{% endmacro %}

{% macro duckdb__epoch_microseconds(number) -%}
    make_timestamp(cast(round({{ number }}) as bigint))
{%- endmacro %}

{% macro default__epoch_microseconds(number) -%}
    timestamp_micros(cast(round({{ number }}) as bigint))
{%- endmacro %}

{% macro parse_timestamp(text, form) %}
    {{- return(adapter.dispatch('parse_timestamp')(text, form)) -}}
{% endmacro %}

{#- The form is that of strptime on DuckDB, and Spark's own there. -#}
{% macro duckdb__parse_timestamp(text, form) -%}
    cast(try_strptime({{ text }}, '{{ form }}') as timestamp)
{%- endmacro %}

{% macro default__parse_timestamp(text, form) -%}
    try_to_timestamp({{ text }}, '{{ form }}')
{%- endmacro %}

{#- Whether the local time of a moment came twice: an hour before or after it was the same. -#}
{% macro is_ambiguous_local_time(moment) -%}
    {%- set zone = var('events_time_zone') -%}
    (
        {{ to_local(moment, zone) }} = {{ to_local(moment ~ " + interval '1' hour", zone) }}
        or {{ to_local(moment, zone) }} = {{ to_local(moment ~ " - interval '1' hour", zone) }}
    )
{%- endmacro %}

{% macro to_local(moment, zone) %}
    {{- return(adapter.dispatch('to_local')(moment, zone)) -}}
{% endmacro %}

{% macro duckdb__to_local(moment, zone) -%}
    (({{ moment }}) at time zone 'UTC') at time zone '{{ zone }}'
{%- endmacro %}

{% macro default__to_local(moment, zone) -%}
    from_utc_timestamp({{ moment }}, '{{ zone }}')
{%- endmacro %}
