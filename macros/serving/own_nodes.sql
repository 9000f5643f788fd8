{#- The nodes of this package, which may be installed in another project. -#}
{% macro own_nodes() %}
    {{- return(graph.nodes.values() | selectattr('package_name', 'equalto', 'ott_compliance') | list) -}}
{% endmacro %}

{#- The one of a name; a name is that of one model or seed. -#}
{% macro own_node(name) %}
    {{- return(own_nodes() | selectattr('name', 'equalto', name) | first) -}}
{% endmacro %}
