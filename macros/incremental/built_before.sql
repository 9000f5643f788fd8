{#- The table of a model as the last build left it, to be read by a model that comes before it; none if
    there is none with these columns, or it is to be built from nothing. -#}
{% macro built_before(name, columns) %}
    {%- if is_being_built() and target.type == 'duckdb' and not invocation_args_dict.get('full_refresh') -%}
        {%- set node = own_node(name) -%}
        {%- set relation = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- if relation and relation.is_table -%}
            {%- set found = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
            {{- return(relation if not columns | reject('in', found) | list else none) -}}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}

{#- Whether a day of the source is as an earlier build has checked it. -#}
{% macro has_unchanged_days() %}
    {{- return(
        is_being_built() and target.type == 'duckdb' and run_query(
            'select count(*) from ' ~ ref('int_source_file_days') ~ ' where source_date not in (select source_date from '
            ~ ref('int_changed_days') ~ ')'
        ).rows[0][0] > 0
    ) -}}
{% endmacro %}

{#- Whether the model is run now, so that those before it have been: not where it is but compiled, nor in a
    unit test, whose relations are fixtures. -#}
{% macro is_being_built() %}
    {{- return(execute and flags.WHICH in ('build', 'run', 'retry') and model.unique_id in graph.nodes) -}}
{% endmacro %}
