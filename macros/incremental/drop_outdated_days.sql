{#- Pre-hook of a model that is built day by day: removes the days that `days` no longer has, or has
    with another fingerprint, and all if the rules of the model changed. The model then adds the days
    that are not there. -#}
{% macro drop_outdated_days(days) %}
    {%- if is_incremental() -%}
        {%- set outdated -%}
            fingerprint not in (
                select {{ built_fingerprint('fingerprint', "'" ~ model_rules() ~ "'") }} from {{ days }}
            )
        {%- endset -%}
        {{ drop_rows(outdated) }}
    {%- endif -%}
{% endmacro %}

{#- The same of repeated events: removes those of ids that are compared anew. -#}
{% macro drop_compared_ids(ids) %}
    {%- if is_incremental() -%}
        {{ drop_rows('event_id in (select event_id from ' ~ ids ~ ')' if has_unchanged_days() else 'true') }}
    {%- endif -%}
{% endmacro %}

{% macro drop_rows(condition) %}
    {{- adapter.dispatch('drop_rows')(condition) -}}
{% endmacro %}

{% macro default__drop_rows(condition) %}
    delete from {{ this }} where {{ condition }}
{% endmacro %}

{#- An update of the project can add a column to a table, which DuckDB does not commit together with
    deleted rows. Days that are gone, if the build ends here, are missing ones to the next. -#}
{% macro duckdb__drop_rows(condition) %}
    delete from {{ this }} where {{ condition }};
    commit;
    begin
    {%- set stored = {} -%}
    {%- for column in adapter.get_columns_in_relation(this) -%}
        {%- do stored.update({column.name: column.dtype | lower}) -%}
    {%- endfor -%}
    {#- Another type of an id is another rule, by which no row is left. -#}
    {%- for column in event_columns() -%}
        {%- for name in [column.value, 'first_' ~ column.value] if column.get('type', stored.get(name)) != stored.get(name) and name in stored -%}
            ;
            alter table {{ this }} alter column {{ name }} type {{ column.type }};
            commit;
            begin
        {%- endfor -%}
    {%- endfor -%}
{% endmacro %}

{#- Tables of Parquet files cannot delete rows, only whole partitions, and these are days. -#}
{% macro spark__drop_rows(condition) %}
    {%- set day = config.get('partition_by')[0] -%}
    {%- set dates = run_query(
        'select distinct cast(' ~ day ~ ' as string) from ' ~ this ~ ' where ' ~ outdated
    ).columns[0].values() -%}
    {%- for date in dates -%}
        {{ 'alter table ' ~ this ~ ' drop if exists' if loop.first }} partition ({{ day }} = '{{ date }}')
        {{- ',' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
