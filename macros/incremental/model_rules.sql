{#- Fingerprint of all that decides what a model that is built day by day makes of a day, but for the
    rows that count by day: what its SQL is for all days, what the views are that it reads, and what the
    tables hold. When it changes, the model builds every day anew. -#}
{% macro model_rules() %}
    {%- set rules = [] -%}
    {#- The relations of a unit test are fixtures. -#}
    {%- if execute and model.unique_id in graph.nodes -%}
        {%- do rules.append(render(
            model.raw_code | replace('missing_days(', 'all_days(') | replace('in_files(', 'in_all_files(')
        )) -%}
        {%- do rules.extend(rules_of_parents(model.unique_id)) -%}
    {%- endif -%}
    {{- return(local_md5(tojson(rules))) -}}
{% endmacro %}

{#- As the database has them: a part of the project may have been built on its own. -#}
{% macro rules_of_parents(node) %}
    {%- set rules = [] -%}
    {%- for parent in graph.nodes[node].depends_on.nodes if parent in graph.nodes -%}
        {%- set found = graph.nodes[parent] -%}
        {%- set relation = adapter.get_relation(found.database, found.schema, found.alias) -%}
        {%- if relation and not found.config.meta.counts_by_day -%}
            {%- set columns = adapter.get_columns_in_relation(relation) -%}
            {%- if found.config.materialized == 'view' -%}
                {%- do rules.append(view_definition(relation)) -%}
                {#- Checksums are of stored values: those of true and 1 are the same. -#}
                {%- for column in columns -%}
                    {%- do rules.append(column.name ~ ' ' ~ column.dtype) -%}
                {%- endfor -%}
                {%- do rules.extend(rules_of_parents(parent)) -%}
            {%- else -%}
                {%- set names = [] -%}
                {%- for column in columns -%}
                    {%- do names.append(adapter.quote(column.name)) -%}
                {%- endfor -%}
                {%- do rules.append(run_query('select ' ~ checksum(names) ~ ' from ' ~ relation).rows[0][0]) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{- return(rules) -}}
{% endmacro %}
