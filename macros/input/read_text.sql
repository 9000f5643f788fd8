{#- Every reader takes a column and gives null where the value is missing or not of its kind. A column
    is read as text unless its `kind`, one of `column_types`, makes that needless. -#}

{% macro read_text(column) -%}
    nullif({{ strip_blanks(as_text(column)) }}, '')
{%- endmacro %}

{% macro as_text(column) -%}
    cast({{ column }} as {{ dbt.type_string() }})
{%- endmacro %}

{#- The pattern comes first: engines cast '1e3', '0x10' or '12.7' to integers, each its own way. -#}
{% macro read_integer(column, kind=none) -%}
    {%- if kind == 'integer' -%}
    {{ dbt.safe_cast(column, 'bigint') }}
    {%- elif kind == 'decimal' -%}
    case when {{ column }} = floor({{ column }}) then {{ dbt.safe_cast(column, 'bigint') }} end
    {%- elif kind == 'float' -%}
    {#- Whole numbers with a null among them are often kept as floats. -#}
    case
        when {{ column }} = floor({{ column }}) and abs({{ column }}) < 9007199254740992
            then cast({{ column }} as bigint)
    end
    {%- else -%}
    case
        when {{ matches_pattern(strip_blanks(as_text(column)), '[+-]?[0-9]+') }}
            then {{ dbt.safe_cast(strip_blanks(as_text(column)), 'bigint') }}
    end
    {%- endif -%}
{%- endmacro %}

{#- Infinity and nan are read, so that they can be told from text that is no number at all. -#}
{% macro read_number(column, kind=none) -%}
    {%- if kind in ('integer', 'float', 'decimal') -%}
    cast({{ column }} as double)
    {%- else -%}
    case
        when
            {{ matches_pattern(
                'lower(' ~ strip_blanks(as_text(column)) ~ ')',
                '[+-]?([0-9]*[.]?[0-9]+|inf|infinity)|nan'
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
