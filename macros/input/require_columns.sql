{#- Stops the build with a sentence instead of the engine's error about some later query. -#}
{% macro require_columns(relation, columns) %}
    {#- Files, and the fixture of a unit test, have no schema and cannot be asked. -#}
    {%- set existing = load_relation(relation) if execute and relation.schema -%}
    {%- if existing -%}
        {%- set found = adapter.get_columns_in_relation(existing) | map(attribute='name') | map('lower') | list -%}
        {%- set missing = columns | map('lower') | reject('in', found) | list -%}
        {%- if missing -%}
            {{ exceptions.raise_compiler_error(
                relation ~ ' lacks the column(s) ' ~ missing | join(', ') ~ '. It has: '
                ~ found | join(', ') ~ '. Add the missing columns to the source and build again.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
