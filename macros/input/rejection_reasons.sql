{#- The reasons that `int_checked_events` can give: the texts in its SQL that begin with a column. -#}
{% macro rejection_reasons() %}
    {%- set model = graph.nodes['model.' ~ project_name ~ '.int_checked_events'] -%}
    {{- return(
        modules.re.findall("'((?:" ~ raw_event_columns() | join('|') ~ ")_[a-z_]+)'", model.raw_code)
        | unique | list
    ) -}}
{% endmacro %}
