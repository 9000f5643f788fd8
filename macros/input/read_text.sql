{#- Every reader takes a column and gives null where the value is missing or not of its kind. A column
    is read as text unless its `kind`, one of `column_types`, makes that needless. -#}

{#- By the registry's kind of a column of an event. -#}
{% macro read_column(column, relation, types) -%}
    {%- set raw_value = relation ~ '.' ~ column.name -%}
    {%- set kind = types[column.name] -%}
    {%- if column.name == 'event_id' and identity_columns() -%}
        {{ made_identifier(relation, types) }}
    {%- elif column.get('type') == 'varchar' -%}
        {{ read_identifier(raw_value) }}
    {%- elif column.kind == 'id' -%}
        {{ read_integer(raw_value, kind, largest_with_exponent=16777216) }}
    {%- elif column.kind == 'integer' -%}
        {{ read_integer(raw_value, kind) }}
    {%- elif column.kind == 'number' -%}
        {{ read_number(raw_value, kind) }}
    {%- elif column.kind == 'timestamp' -%}
        {{ read_timestamp(raw_value, kind) }}
    {%- elif column.kind == 'member' -%}
        {{ fold_member(read_text(raw_value)) }}
    {%- else -%}
        {{ read_text(raw_value) }}
    {%- endif -%}
{%- endmacro %}

{% macro read_text(column) -%}
    nullif({{ strip_blanks(as_text(column)) }}, '')
{%- endmacro %}

{% macro as_text(column) -%}
    cast({{ column }} as {{ dbt.type_string() }})
{%- endmacro %}

{#- Ids are never changed: `0042` and `42` are two texts. -#}
{% macro read_identifier(column) -%}
    case when {{ read_text(column) }} is not null then {{ as_text(column) }} end
{%- endmacro %}

{#- Members are the same in capital and small letters. Only text beyond ASCII takes the slower way: the
    Turkish letters i, with and without dot, are one. -#}
{% macro fold_member(text) -%}
    case
        when bit_length({{ text }}) = 8 * length({{ text }}) then lower({{ text }})
        else translate(lower({{ text }}), 'ı̇', 'i')
    end
{%- endmacro %}

{#- Text as a number is written by engines: without separators of thousands, with a decimal point. -#}
{% macro number_text(column) -%}
    {%- set form = var('events_format') if var('events_format') is mapping else {} -%}
    {%- set number = {'text': strip_blanks(as_text(column))} -%}
    {%- for written, meant in [(form.get('thousands'), ''), (form.get('decimal'), '.')] if written -%}
        {%- do number.update({'text': "replace(" ~ number.text ~ ", '" ~ written ~ "', '" ~ meant ~ "')"}) -%}
    {%- endfor -%}
    {{ number.text }}
{%- endmacro %}

{#- The pattern comes first: engines cast '0x10' or '12.7' to integers, each its own way. What has a
    decimal point or an exponent was a float once, and floats tell whole numbers apart up to 2^53
    only; with an exponent, digits of larger ids may be lost, by rounding for the eye or in a float. -#}
{% macro read_integer(column, kind=none, largest_with_exponent=9007199254740992) -%}
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
    {%- set text = number_text(column) -%}
    {%- set number = dbt.safe_cast(text, 'double') -%}
    case
        when {{ matches_pattern(text, '[+-]?[0-9]+') }} then {{ dbt.safe_cast(text, 'bigint') }}
        when
            {{ matches_pattern(text, '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2})?') }}
            and {{ number }} = floor({{ number }})
            and abs({{ number }}) < case
                when position('e' in lower({{ text }})) > 0 then {{ largest_with_exponent }}
                else 9007199254740992
            end
            then cast({{ number }} as bigint)
    end
    {%- endif -%}
{%- endmacro %}

{#- Infinity and nan are read, so that they can be told from text that is no number at all. -#}
{% macro read_number(column, kind=none) -%}
    {%- if kind in ('integer', 'float', 'double', 'decimal') -%}
    cast({{ column }} as double)
    {%- else -%}
    {%- set text = number_text(column) -%}
    case
        when
            {{ matches_pattern(
                'lower(' ~ text ~ ')',
                '[+-]?(([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]{1,3})?|inf|infinity)|nan'
            ) }}
            then {{ dbt.safe_cast(text, 'double') }}
    end
    {%- endif -%}
{%- endmacro %}
