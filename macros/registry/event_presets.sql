{#- What a vendor's own schema settles, by the name that the var `events_preset` can have: the sources
    of columns, as in the var `events_columns`. The rest the user must tell: no vendor knows which
    property is the status. -#}
{% macro event_presets() %}
    {{- return({}) -}}
{% endmacro %}

{% macro events_preset() %}
    {{- return(event_presets().get(var('events_preset'), {})) -}}
{% endmacro %}
