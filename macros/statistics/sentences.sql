{#- Numbers in sentences, each with its unit behind a no-break space. A cast to decimal rounds the same
    way on every engine. -#}

{% macro nbsp() -%}
    {{- return('\u00a0') -}}
{%- endmacro %}

{#- A fraction in hundredths, with the more decimals, the smaller its size. Twelve decimals of it count, so
    that 5.25 is half-way however a double holds it. -#}
{% macro hundredths(fraction, size) -%}
    {%- set exactly = 'cast(100 * ' ~ fraction ~ ' as decimal(24, 12))' -%}
    case
        when {{ size }} < 0.000000005 then {{ as_text('cast(100 * ' ~ fraction ~ ' as integer)') }}
        {%- for least, decimals in [(0.01, 1), (0.0001, 2), (0.000001, 4)] %}
        when {{ size }} >= {{ '%.6f' | format(least) }}
            then {{ as_text('cast(' ~ exactly ~ ' as decimal(12, ' ~ decimals ~ '))') }}
        {%- endfor %}
        else {{ as_text('cast(' ~ exactly ~ ' as decimal(12, 6))') }}
    end
{%- endmacro %}

{#- Near 100 % as exact as near 0 %. -#}
{% macro hundredths_of_rate(rate) -%}
    {{ hundredths(rate, 'least(' ~ rate ~ ', 1 - ' ~ rate ~ ')') }}
{%- endmacro %}

{% macro percent(rate) -%}
    {{ hundredths_of_rate(rate) }} || '{{ nbsp() }}%'
{%- endmacro %}

{% macro percent_range(low, high) -%}
    {{ hundredths_of_rate(low) }} || ' to ' || {{ percent(high) }}
{%- endmacro %}

{#- The size of a difference; the words around it tell the sign. -#}
{% macro percentage_points(difference) -%}
    {{ hundredths('abs(' ~ difference ~ ')', 'abs(' ~ difference ~ ')') }}
    || '{{ nbsp() }}percentage points'
{%- endmacro %}

{% macro counted(number, singular, plural=none) -%}
    {{ grouped_digits(number) }}
    || case
        when {{ number }} = 1 then '{{ nbsp() ~ singular }}'
        else '{{ nbsp() ~ (plural or singular ~ "s") }}'
    end
{%- endmacro %}

{#- A share that is set by a variable; known while compiling, so plain text. -#}
{% macro percent_of_var(variable) -%}
    {{ ((100 * var(variable)) | round(2) | string).rstrip('0').rstrip('.') ~ nbsp() }}%
{%- endmacro %}

{% macro rate_with_interval(rate, low, high, events) -%}
    {{ percent(rate) }} || ' ({{ percent_of_var("confidence_level") }} interval '
    || {{ percent_range(low, high) }} || ', ' || {{ counted(events, 'event') }} || ')'
{%- endmacro %}

{% macro capitalised(text) -%}
    upper(left({{ text }}, 1)) || substr({{ text }}, 2)
{%- endmacro %}

{#- A member with its unit, as a sentence names it. -#}
{% macro member_in_words(dimension, singular, member) -%}
    case
        when {{ dimension }} in ('region', 'regulation', 'region_and_regulation', 'weekday')
            then {{ member }}
        when {{ dimension }} = 'event_hour' then 'hour{{ nbsp() }}' || {{ member }} || ' (UTC)'
        when {{ dimension }} = 'concurrent_streams'
            then {{ member }}
                || case when {{ member }} = '1' then '{{ nbsp() }}stream' else '{{ nbsp() }}streams' end
        when {{ dimension }} = 'event_date' then 'day ' || {{ day_in_words(dbt.safe_cast(member, 'date')) }}
        else {{ singular }} || ' ' || {{ member }}
    end
{%- endmacro %}

{#- The parts of the mix of events within which members of a dimension are compared. -#}
{% macro mix_in_words(dimension) -%}
    {%- set parts = dimensions() | selectattr('dimension', 'in', mix_columns()) | list -%}
    {%- if not parts -%}
    {{- return("'events'") -}}
    {%- endif -%}
    case {{ dimension }}
        {%- for part in parts %}
        when '{{ part.dimension }}'
            then '{{ parts | rejectattr("dimension", "equalto", part.dimension) | map(attribute="plural") | join(" and ") }}'
        {%- endfor %}
        else '{{ parts | map(attribute="plural") | join(" and ") }}'
    end
{%- endmacro %}

{#- The kind of event of which there are fewer. -#}
{% macro rarer_kind(outcome, rate) -%}
    case
        when {{ rate }} > 0.5 then 'events without a ' || {{ outcome }}
        else {{ outcome }} || 's'
    end
{%- endmacro %}

{#- Aggregate: the first days by their `place`, and how many more there are. -#}
{% macro first_days(text) -%}
    max(case when place = 1 then {{ text }} end)
    || case when count(*) > 2 then ', ' when count(*) = 2 then ' and ' else '' end
    || coalesce(max(case when place = 2 then {{ text }} end), '')
    || case when count(*) > 3 then ', ' when count(*) = 3 then ' and ' else '' end
    || coalesce(max(case when place = 3 then {{ text }} end), '')
    || case when count(*) > 3 then ' and ' || {{ counted('count(*) - 3', 'more day') }} else '' end
{%- endmacro %}

{#- What a claim does not allow for. -#}
{% macro limits_of_claims() -%}
    {{- return(
        'Events of one user count as related; what users share (households, devices, sessions) is not counted.'
        ~ {
            'daily': ' The claim holds for somebody who looks at every daily build.',
            'single': ' The claim holds for a single look at closed data.',
        }[var('looks')]
    ) -}}
{%- endmacro %}

{#- A change with its direction, without a unit; none is a rise of 0. -#}
{% macro rise_or_fall(change) -%}
    case when {{ change }} < -1e-9 then 'a fall of ' else 'a rise of ' end
    || {{ hundredths('abs(' ~ change ~ ')', 'abs(' ~ change ~ ')') }}
{%- endmacro %}
