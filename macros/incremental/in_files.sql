{#- The clause by which rows are read from the files alone that a query names, so that no other one is
    opened: engines tell that from names, but not from a join. Nothing where the source is no files. -#}
{% macro in_files(query) -%}
    {%- if is_being_built() and source_is_files() -%}
        {%- set wanted = run_query(query).columns[0].values() -%}
        {%- if not wanted -%}
            where false
        {%- elif wanted | length < event_source().files | length -%}
            where source_file in ({{ text_list(wanted) }})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Stands for `in_files` in what `model_rules` is made of. -#}
{% macro in_all_files(query) -%}
{%- endmacro %}

{#- Query for the files that hold rows of days, which a query names. -#}
{% macro files_of_days(days) -%}
    select distinct source_file from {{ ref('int_source_file_days') }} where source_date in ({{ days }})
{%- endmacro %}

{#- The same of ids and their days, or of all days. -#}
{% macro files_of_ids(ids) -%}
    select distinct source_file from {{ ref('int_source_file_days') }}
    where
        source_date in (select source_date from {{ ids }})
        or exists (select * from {{ ids }} where source_date is null)
{%- endmacro %}
