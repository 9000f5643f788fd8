{#- Pre-hook of a model that is built day by day: removes the days that `days` no longer has, or has
    with another fingerprint. The model then adds the days that are not there. -#}
{% macro drop_outdated_days(days) %}
    {%- if is_incremental() -%}
        {{ adapter.dispatch('drop_outdated_days')(days) }}
    {%- endif -%}
{% endmacro %}

{% macro default__drop_outdated_days(days) %}
    delete from {{ this }} where fingerprint not in (select fingerprint from {{ days }})
{% endmacro %}

{#- Tables of Parquet files cannot delete rows, only whole partitions, and these are days. -#}
{% macro spark__drop_outdated_days(days) %}
    {%- set day = config.get('partition_by')[0] -%}
    {%- set outdated = run_query(
        'select distinct cast(' ~ day ~ ' as string) from ' ~ this
        ~ ' where fingerprint not in (select fingerprint from ' ~ days ~ ')'
    ).columns[0].values() -%}
    {%- for date in outdated -%}
        {{ 'alter table ' ~ this ~ ' drop if exists' if loop.first }} partition ({{ day }} = '{{ date }}')
        {{- ',' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
