{#- Every reader takes a column and gives null where the value is missing or not of its kind. A column
    is read as text unless its `kind`, one of `column_types`, makes that needless. -#}

{#- By the registry's kind of a column of an event. -#}
{% macro read_column(column, relation, types) -%}
    {%- set raw_value = relation ~ '.' ~ column.name -%}
    {%- set kind = types[column.name] -%}
    {%- if column.kind in ('id', 'integer') -%}
        {{ read_integer(raw_value, kind) }}
    {%- elif column.kind == 'number' -%}
        {{ read_number(raw_value, kind) }}
    {%- elif column.kind == 'timestamp' -%}
        {{ read_timestamp(raw_value, kind) }}
    {%- elif column.letters == 'upper' -%}
        {{ ascii_upper(read_text(raw_value)) }}
    {%- else -%}
        {{ ascii_lower(read_text(raw_value)) }}
    {%- endif -%}
{%- endmacro %}

{% macro read_text(column) -%}
    nullif({{ strip_blanks(as_text(column)) }}, '')
{%- endmacro %}

{% macro as_text(column) -%}
    cast({{ column }} as {{ dbt.type_string() }})
{%- endmacro %}

{#- Capital and small letters of ASCII only: others have more than two forms (`s`, `S` and the long s),
    so that a word would become another. Only text with other letters takes the slower way. -#}
{% macro ascii_upper(text) -%}
    {{ change_ascii_letters(text, 'upper', 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') }}
{%- endmacro %}

{% macro ascii_lower(text) -%}
    {{ change_ascii_letters(text, 'lower', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz') }}
{%- endmacro %}

{% macro change_ascii_letters(text, function, letters, changed) -%}
    case
        when bit_length({{ text }}) = 8 * length({{ text }}) then {{ function }}({{ text }})
        else translate({{ text }}, '{{ letters }}', '{{ changed }}')
    end
{%- endmacro %}

{#- The pattern comes first: engines cast '1e3', '0x10' or '12.7' to integers, each its own way. What has
    a decimal point was a float once, and floats tell whole numbers apart up to 2^53 only. -#}
{% macro read_integer(column, kind=none) -%}
    {%- if kind == 'integer' -%}
    {{ dbt.safe_cast(column, 'bigint') }}
    {%- elif kind == 'decimal' -%}
    case when {{ column }} = floor({{ column }}) then {{ dbt.safe_cast(column, 'bigint') }} end
    {%- elif kind in ('float', 'double') -%}
    {#- Whole numbers with a null among them are often kept as floats. -#}
    case
        when
            {{ column }} = floor({{ column }})
            and abs({{ column }}) < {{ {'float': 16777216, 'double': 9007199254740992}[kind] }}
            then cast({{ column }} as bigint)
    end
    {%- else -%}
    {%- set text = strip_blanks(as_text(column)) -%}
    {%- set whole_part = dbt.split_part(text, "'.'", 1) -%}
    case
        when {{ matches_pattern(text, '[+-]?[0-9]+') }} then {{ dbt.safe_cast(text, 'bigint') }}
        when
            {{ matches_pattern(text, '[+-]?[0-9]{1,16}[.]0*') }}
            and abs({{ dbt.safe_cast(whole_part, 'bigint') }}) < 9007199254740992
            then {{ dbt.safe_cast(whole_part, 'bigint') }}
    end
    {%- endif -%}
{%- endmacro %}

{#- Infinity and nan are read, so that they can be told from text that is no number at all. -#}
{% macro read_number(column, kind=none) -%}
    {%- if kind in ('integer', 'float', 'double', 'decimal') -%}
    cast({{ column }} as double)
    {%- else -%}
    case
        when
            {{ matches_pattern(
                'lower(' ~ strip_blanks(as_text(column)) ~ ')',
                '[+-]?(([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]{1,3})?|inf|infinity)|nan'
            ) }}
            then {{ dbt.safe_cast(strip_blanks(as_text(column)), 'double') }}
    end
    {%- endif -%}
{%- endmacro %}

{#- A date alone is no moment, and engines read 24:00 and odd offsets each its own way. -#}
{% macro read_timestamp(column, kind=none) -%}
    {%- if kind == 'timestamp' -%}
    {{ dbt.safe_cast(column, 'timestamp') }}
    {%- else -%}
    case
        when
            {{ matches_pattern(
                strip_blanks(as_text(column)),
                '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
                ~ '([.][0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?'
            ) }}
            then {{ to_utc_timestamp(strip_blanks(as_text(column))) }}
        -- Postgres and DuckDB write offsets of whole hours like this.
        when
            {{ matches_pattern(
                strip_blanks(as_text(column)),
                '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
                ~ '([.][0-9]{1,9})?[+-](0[0-9]|1[0-4])'
            ) }}
            then {{ to_utc_timestamp(strip_blanks(as_text(column)) ~ " || ':00'") }}
    end
    {%- endif -%}
{%- endmacro %}
