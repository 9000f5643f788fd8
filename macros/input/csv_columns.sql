{#- Names of the columns by the first line of a CSV file; a quoted one may hold commas and quotes. -#}
{% macro csv_columns(header) %}
    {%- set names = [] -%}
    {%- for quoted, plain in modules.re.findall('(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))', header) -%}
        {%- do names.append(quoted.replace('""', '"') or plain) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}
