{#- Every reader takes a column of text and gives null where the text is missing or not of its
    kind. -#}

{% macro read_text(text) -%}
    nullif({{ strip_blanks(text) }}, '')
{%- endmacro %}

{#- The pattern comes first: engines cast '1e3', '0x10' or '12.7' to integers, each its own way. -#}
{% macro read_integer(text) -%}
    case
        when {{ matches_pattern(strip_blanks(text), '[+-]?[0-9]+') }}
            then {{ dbt.safe_cast(strip_blanks(text), 'bigint') }}
    end
{%- endmacro %}

{#- Infinity and nan are read, so that they can be told from text that is no number at all. -#}
{% macro read_number(text) -%}
    case
        when
            {{ matches_pattern(
                'lower(' ~ strip_blanks(text) ~ ')',
                '[+-]?([0-9]*[.]?[0-9]+|inf|infinity)|nan'
            ) }}
            then {{ dbt.safe_cast(strip_blanks(text), 'double') }}
    end
{%- endmacro %}

{#- A date alone is no moment, and engines read 24:00 and odd offsets each its own way. -#}
{% macro read_timestamp(text) -%}
    case
        when
            {{ matches_pattern(
                strip_blanks(text),
                '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
                ~ '([.][0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?'
            ) }}
            then {{ to_utc_timestamp(strip_blanks(text)) }}
    end
{%- endmacro %}
