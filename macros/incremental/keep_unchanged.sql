{#- What is made of the same as last time is the same to the last bit, and stays as it is: tables and,
    in `dbt build`, good results of data tests, those with `keep_unchanged` in their `meta`. What each was made
    of stands in the table `built_from`. -#}
{% materialization table, adapter='duckdb' %}
    {%- set made_of = what_it_is_made_of(sql) -%}
    {%- set recorded = recorded_state(model.unique_id) -%}
    {%- if made_of and made_of == recorded and load_cached_relation(this)
        and not invocation_args_dict.get('full_refresh') -%}
        {%- do store_raw_result(name='main', message='KEPT', code='KEPT', rows_affected='0') -%}
        {{- return({'relations': [this]}) -}}
    {%- endif -%}
    {#- Between the two nothing is known of it, as when a build ends there. -#}
    {%- do record_state(recorded, none) -%}
    {%- set built = dbt.materialization_table_duckdb() -%}
    {%- do record_state(none, made_of) -%}
    {{- return(built) -}}
{% endmaterialization %}

{% materialization test, adapter='duckdb' %}
    {%- set made_of = what_it_is_made_of(sql)
        if flags.WHICH == 'build' and not should_store_failures() else none -%}
    {%- set recorded = recorded_state(model.unique_id) if made_of else none -%}
    {%- if made_of and made_of == recorded and not invocation_args_dict.get('full_refresh') -%}
        {%- call statement('main', fetch_result=True) -%}
            select 0 as failures, false as should_warn, false as should_error
        {%- endcall -%}
        {{- return({'relations': []}) -}}
    {%- endif -%}
    {%- set tested = dbt.materialization_test_default() -%}
    {%- set is_good = load_result('main').table.rows[0][0] == 0 -%}
    {%- do record_state(recorded, made_of if is_good else none) -%}
    {#- dbt itself leaves nothing of a test to be kept. -#}
    {%- do adapter.commit() -%}
    {{- return(tested) -}}
{% endmaterialization %}

{#- Fingerprint of the SQL of this node, its documentation and what it reads; none where something of that
    is not known. -#}
{% macro what_it_is_made_of(sql) %}
    {%- if not (config.get('meta', {}).get('keep_unchanged') and var('keep_unchanged_tables')) -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- set parts = [sql, model.get('description'), model.get('columns')] -%}
    {%- for parent in model.depends_on.nodes -%}
        {%- do parts.append(state_of(parent)) -%}
    {%- endfor -%}
    {{- return(none if none in parts[3:] else local_md5(tojson(parts))) -}}
{% endmacro %}

{#- Text that changes when what a node holds does; none where nobody knows. -#}
{% macro state_of(unique_id) %}
    {%- set node = graph.nodes.get(unique_id) -%}
    {%- set relation = adapter.get_relation(node.database, node.schema, node.alias) if node -%}
    {%- if not relation -%}
        {{- return(none) -}}
    {%- elif node.config.materialized == 'view' -%}
        {#- Of views on the source, nobody knows what it holds. -#}
        {%- set states = [] if node.depends_on.nodes and not node.config.meta.counts_by_day else [none] -%}
        {%- for parent in node.depends_on.nodes -%}
            {%- do states.append(state_of(parent)) -%}
        {%- endfor -%}
        {{- return(none if none in states else view_definition(relation) ~ states | join(' ')) -}}
    {%- elif node.config.materialized == 'table' and node.config.meta.keep_unchanged -%}
        {{- return(recorded_state(unique_id)) -}}
    {%- endif -%}
    {%- set names = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
    {%- if 'fingerprint' in names -%}
        {%- set query = 'select ' ~ checksum(['fingerprint']) ~ ' from (select distinct fingerprint from ' ~ relation ~ ')' -%}
    {%- else -%}
        {%- set query = 'select ' ~ checksum(names | map('tojson')) ~ ' from ' ~ relation -%}
    {%- endif -%}
    {{- return(run_query(query).rows[0][0] ~ '') -}}
{% endmacro %}

{% macro recorded_state(unique_id) %}
    {%- set found = run_query("select made_of from built_from where node = '" ~ unique_id ~ "'").rows -%}
    {{- return(found[0][0] if found else none) -}}
{% endmacro %}

{% macro record_state(recorded, made_of) %}
    {%- if recorded -%}
        {%- do run_query("delete from built_from where node = '" ~ model.unique_id ~ "'") -%}
    {%- endif -%}
    {%- if made_of -%}
        {%- do run_query("insert into built_from values ('" ~ model.unique_id ~ "', '" ~ made_of ~ "')") -%}
    {%- endif -%}
{% endmacro %}

{#- Another version of DuckDB may compute other last digits. -#}
{% macro prepare_built_from() %}
    {%- if execute and target.type == 'duckdb' and flags.WHICH in ('build', 'run', 'test') -%}
        {%- do run_query('create table if not exists built_from (node varchar, made_of varchar)') -%}
        {%- do run_query("delete from built_from where version() not in (select made_of from built_from where node = 'duckdb')") -%}
        {%- do run_query("insert into built_from select 'duckdb', version() where not exists (from built_from where node = 'duckdb')") -%}
    {%- endif -%}
{% endmacro %}
