{#- Says in a sentence that a part of the project reads what was never built, before it fails on that. -#}
{% macro check_selection() %}
    {%- if execute and flags.WHICH in ('build', 'run', 'test') -%}
        {%- for node in own_nodes() if node.unique_id in selected_resources -%}
            {%- set missing = [] -%}
            {%- for id in node.depends_on.nodes if id in graph.nodes and id not in selected_resources -%}
                {%- set parent = graph.nodes[id] -%}
                {%- set relation = api.Relation.create(parent.database, parent.schema, parent.alias) -%}
                {%- if load_cached_relation(relation) is none -%}
                    {%- do missing.append(parent.name) -%}
                {%- endif -%}
            {%- endfor -%}
            {%- if missing -%}
                {{ exceptions.raise_compiler_error(
                    node.name ~ ' reads ' ~ missing | join(', ') ~ ', not built so far. Build everything'
                    ~ ' once, with `make build` or `dbt build`; or select what it reads as well, with a plus'
                    ~ ' in front: `dbt build --select +' ~ node.name ~ '`. Nothing was changed.'
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
