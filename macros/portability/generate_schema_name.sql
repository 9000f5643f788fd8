{% macro generate_schema_name(custom_schema_name, node) %}
    {#- dbt would name the schema <target schema>_marts; clients are promised plain `marts`. -#}
    {{ (custom_schema_name or target.schema) | trim }}
{% endmacro %}
