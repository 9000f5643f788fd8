{#- Kinds of the columns of a relation by name, of `kind_of_type`. Empty for a relation that does not
    exist yet. -#}
{% macro column_types(relation) %}
    {%- set found = {} -%}
    {#- The fixture of a unit test has no schema and cannot be asked. -#}
    {%- set existing = load_relation(relation) if execute and relation.schema -%}
    {%- for column in (adapter.get_columns_in_relation(existing) if existing else []) -%}
        {%- do found.update({column.name | lower: kind_of_type(column.dtype)}) -%}
    {%- endfor -%}
    {{- return(found) -}}
{% endmacro %}

{#- `integer`, `float`, `double`, `decimal`, `timestamp`, or `moment`, which has a zone; all else, text
    above all, has none. -#}
{% macro kind_of_type(type) %}
    {%- set kinds = {
        'tinyint': 'integer', 'smallint': 'integer', 'integer': 'integer', 'int': 'integer',
        'bigint': 'integer', 'hugeint': 'integer', 'utinyint': 'integer', 'usmallint': 'integer',
        'uinteger': 'integer', 'ubigint': 'integer',
        'double': 'double', 'float': 'float', 'real': 'float', 'decimal': 'decimal',
        'timestamp': 'timestamp', 'timestamp with time zone': 'moment',
        'timestamp_ntz': 'timestamp', 'timestamp_ns': 'timestamp', 'timestamp_ms': 'timestamp',
        'timestamp_s': 'timestamp',
    } -%}
    {{- return(kinds.get((type | lower).split('(')[0])) -}}
{% endmacro %}
