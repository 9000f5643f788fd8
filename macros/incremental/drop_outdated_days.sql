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
