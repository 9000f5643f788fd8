{#- Text of a raw value where it is not that of the value read from it, null where it is: so little is
    stored twice. Where both have one type, it need not be compared. -#}
{% macro text_unless_same(raw, value, types={}, type=none) -%}
    {%- if type and types[raw] == type -%}
    case when {{ value }} is null then {{ as_text(raw) }} end
    {%- else -%}
    {#- As nullif would, in a fifth of the time. -#}
    case
        when {{ as_text(raw) }} <> {{ as_text(value) }} or {{ value }} is null
            then {{ as_text(raw) }}
    end
    {%- endif -%}
{%- endmacro %}

{#- The text that `text_unless_same` was made from. -#}
{% macro original_text(text, value) -%}
    coalesce({{ text }}, {{ as_text(value) }})
{%- endmacro %}
