{#- Clients of Spark read the views of schema `marts`; a build works in `marts_build`. After a whole
    build without an error the marts are copied into a schema of their own, which is never written
    again, and the views are pointed at it. A build that fails, or is killed, changes no view before
    all copies are there; and the release before stays for queries that still read it.
    Spark can neither rename a schema nor change several views at once: while the views are changed,
    in a second or two, some show the new release and some the one before, each checked. Whoever
    needs all of one build reads the schema of the release itself. -#}
{% macro spark__publish_release(results) %}
    {%- set obstacle = reason_not_to_publish(results) -%}
    {%- do run_query('create schema if not exists marts') -%}
    {%- set served = release_on_spark() -%}
    {%- if obstacle -%}
        {%- do log(
            'Nothing published: ' ~ obstacle ~ '. '
            ~ ('Still served: release ' ~ served if served else 'No release is served yet') ~ '.',
            info=true
        ) -%}
    {%- else -%}
        {%- set release = 'marts_release_' ~ run_started_at.strftime('%Y%m%d_%H%M%S') -%}
        {%- do copy_marts_on_spark(release) -%}
        {%- do show_marts_on_spark(release) -%}
        {%- do remove_releases_on_spark(kept=[release, served]) -%}
        {%- do log(
            'Published ' ~ published_marts() | length ~ ' marts as ' ~ release, info=true
        ) -%}
    {%- endif -%}
{% endmacro %}

{#- The release that the views show, kept as a property of their schema. -#}
{% macro release_on_spark() %}
    {%- for row in run_query('describe schema extended marts').rows if row[0] == 'Properties' -%}
        {%- for release in modules.re.findall('marts_release_[0-9_]+', row[1] or '') -%}
            {{- return(release) -}}
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}

{% macro copy_marts_on_spark(release) %}
    {%- do run_query('create schema ' ~ release) -%}
    {%- for mart in published_marts() -%}
        {%- set model = own_node(mart) -%}
        {%- set partition = model.config.get('partition_by') -%}
        {%- do run_query(
            'create table ' ~ release ~ '.' ~ mart ~ ' using parquet'
            ~ (' partitioned by (' ~ partition ~ ')' if partition else '')
            ~ ' as select * from ' ~ model.schema ~ '.' ~ mart
        ) -%}
    {%- endfor -%}
{% endmacro %}

{#- Views take the descriptions as comments of their columns; Parquet tables do not. Hive's metastore
    holds 256 characters of each, and tries for 20 seconds to write more. -#}
{% macro show_marts_on_spark(release) %}
    {%- for mart in published_marts() -%}
        {%- set model = own_node(mart) -%}
        {%- set names, comments = [], [] -%}
        {%- for column in model.columns.values() -%}
            {%- do names.append(adapter.quote(column.name)) -%}
            {%- do comments.append(
                adapter.quote(column.name) ~ ' comment '
                ~ spark_string(column.description | truncate(256, false, '...', 0))
            ) -%}
        {%- endfor -%}
        {%- do run_query(
            'create or replace view marts.' ~ mart ~ ' (' ~ comments | join(', ') ~ ') comment '
            ~ spark_string(model.description) ~ ' as select ' ~ names | join(', ')
            ~ ' from ' ~ release ~ '.' ~ mart
        ) -%}
    {%- endfor -%}
    {#- Spark lists the temporary views of the session as well, which are of no schema. -#}
    {%- for row in run_query('show views in marts').rows
        if row[0] == 'marts' and row[1] not in published_marts() -%}
        {%- do run_query('drop view marts.' ~ row[1]) -%}
    {%- endfor -%}
    {%- do run_query("alter schema marts set dbproperties ('release' = '" ~ release ~ "')") -%}
{% endmacro %}

{% macro remove_releases_on_spark(kept) %}
    {%- for row in run_query("show schemas like 'marts_release_*'").rows if row[0] not in kept -%}
        {%- do run_query('drop schema ' ~ row[0] ~ ' cascade') -%}
    {%- endfor -%}
{% endmacro %}
