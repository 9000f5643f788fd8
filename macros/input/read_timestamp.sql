{#- A moment in UTC: of a type, a count since 1970, or text. A date alone is no moment. Without a zone,
    it is in that of the var `events_time_zone`. -#}
{% macro read_timestamp(column, kind=none) -%}
    {%- set form = var('events_format') if var('events_format') is mapping else {} -%}
    {%- if kind == 'moment' -%}
    {{ dbt.safe_cast(column, 'timestamp') }}
    {%- elif kind == 'timestamp' -%}
    {{ from_local_time(dbt.safe_cast(column, 'timestamp')) }}
    {%- elif kind in ('integer', 'double', 'decimal') -%}
    {{ moment_of_epoch('cast(' ~ column ~ ' as double)') }}
    {%- elif form.get('timestampformat') -%}
    {{ from_local_time(parse_timestamp(strip_blanks(as_text(column)), form.timestampformat)) }}
    {%- else -%}
    {{ read_timestamp_text(strip_blanks(as_text(column))) }}
    {%- endif -%}
{%- endmacro %}

{#- ISO 8601 as programs write it. Patterns come first, as engines read 24:00 and odd offsets each its
    own way; the commonest forms first, as the others take longer. -#}
{% macro read_timestamp_text(text) -%}
    {%- set date = '[0-9]{4}-[0-9]{2}-[0-9]{2}' -%}
    {%- set minutes = '([01][0-9]|2[0-3]):[0-5][0-9]' -%}
    {%- set seconds = minutes ~ ':[0-5][0-9]([.][0-9]{1,9})?' -%}
    {%- set hours_off = '[+-](0[0-9]|1[0-4])' -%}
    {%- set basic = '(19|20)[0-9]{6}T?([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]' -%}
    {%- set basic_text -%}
        substr({{ text }}, 1, 4) || '-' || substr({{ text }}, 5, 2) || '-' || substr({{ text }}, 7, 2)
        || ' ' || substr({{ text }}, length({{ text }}) - 5, 2)
        || ':' || substr({{ text }}, length({{ text }}) - 3, 2)
        || ':' || substr({{ text }}, length({{ text }}) - 1, 2)
    {%- endset -%}
    case
        when {{ matches_pattern(text, date ~ '[ T]' ~ seconds) }}
            then {{ from_local_time(dbt.safe_cast(text, 'timestamp')) }}
        when {{ matches_pattern(text, date ~ '[ T]' ~ seconds ~ '(Z|' ~ hours_off ~ ':[0-5][0-9])') }}
            then {{ to_utc_timestamp(text) }}
        -- Postgres and DuckDB write offsets of whole hours like this, Java all others without colon.
        when {{ matches_pattern(text, date ~ '[ T]' ~ seconds ~ hours_off) }}
            then {{ to_utc_timestamp(text ~ " || ':00'") }}
        when {{ matches_pattern(text, date ~ '[ T]' ~ seconds ~ ' ?' ~ hours_off ~ '[0-5][0-9]') }}
            then {{ to_utc_timestamp(
                "trim(substr(" ~ text ~ ", 1, length(" ~ text ~ ") - 5)) || substr(" ~ text ~ ", length(" ~ text ~ ") - 4, 3)"
                ~ " || ':' || substr(" ~ text ~ ", length(" ~ text ~ ") - 1)"
            ) }}
        when {{ matches_pattern(text, date ~ '[ T]' ~ seconds ~ ' ?(UTC|GMT|Z|z)') }}
            then {{ dbt.safe_cast('substr(' ~ text ~ ", 1, 10) || ' ' || regexp_extract(" ~ text ~ ", '[0-9:.]{8,18}', 0)", 'timestamp') }}
        when {{ matches_pattern(text, date ~ '[ T]' ~ minutes) }}
            then {{ from_local_time(dbt.safe_cast(text ~ " || ':00'", 'timestamp')) }}
        when {{ matches_pattern(text, date ~ '[ T]' ~ minutes ~ '(Z|' ~ hours_off ~ ':[0-5][0-9])') }}
            then {{ to_utc_timestamp("substr(" ~ text ~ ", 1, 16) || ':00' || substr(" ~ text ~ ", 17)") }}
        when {{ matches_pattern(text, basic) }}
            then {{ from_local_time(dbt.safe_cast(basic_text, 'timestamp')) }}
        when {{ matches_pattern(text, basic ~ 'Z') }}
            then {{ dbt.safe_cast(basic_text | replace(text, 'substr(' ~ text ~ ', 1, length(' ~ text ~ ') - 1)'), 'timestamp') }}
        when {{ matches_pattern(text, pattern_of_epoch()) }}
            then {{ moment_of_epoch(dbt.safe_cast(text, 'double')) }}
    end
{%- endmacro %}

{#- Seconds, milli-, micro- or nanoseconds since 1970, by their size: each is the only one that lies in
    the years 1973 to 5138. A double holds microseconds of these years. -#}
{% macro epoch_units() %}
    {{- return([
        {'unit': 'seconds', 'below': '1e11', 'in_microseconds': ' * 1000000'},
        {'unit': 'milliseconds', 'below': '1e14', 'in_microseconds': ' * 1000'},
        {'unit': 'microseconds', 'below': '1e17', 'in_microseconds': ''},
        {'unit': 'nanoseconds', 'below': '1e20', 'in_microseconds': ' / 1000'},
    ]) -}}
{% endmacro %}

{% macro moment_of_epoch(number) -%}
    case
        {%- for unit in epoch_units() %}
            when abs({{ number }}) < {{ unit.below }} then {{ epoch_microseconds(number ~ unit.in_microseconds) }}
        {%- endfor %}
    end
{%- endmacro %}

{% macro pattern_of_epoch() %}
    {{- return('[0-9]{9,19}([.][0-9]+)?|[0-9][.][0-9]+[eE][+]?[0-9]{1,2}') -}}
{% endmacro %}

{#- The unit by which a column was read as such a count; null where it was read as something else. -#}
{% macro unit_of_epoch(column, moment) -%}
    {%- set text = strip_blanks(as_text(column)) -%}
    {%- set number = dbt.safe_cast(
        'case when ' ~ matches_pattern(text, pattern_of_epoch()) ~ ' then ' ~ text ~ ' end', 'double'
    ) -%}
    case
        when {{ moment }} = {{ moment_of_epoch(number) }}
            then case
                {%- for unit in epoch_units() %}
                    when abs({{ number }}) < {{ unit.below }} then '{{ unit.unit }}'
                {%- endfor %}
            end
    end
{%- endmacro %}

{% macro from_local_time(moment) -%}
    {%- if var('events_time_zone') == 'UTC' -%}
        {{ moment }}
    {%- else -%}
        {{ adapter.dispatch('to_utc')(moment, var('events_time_zone')) }}
    {%- endif -%}
{%- endmacro %}
