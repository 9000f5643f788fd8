{#- The member that stands first by a measure; ties go to the smaller member. -#}
{% macro first_member(breakdown, member, measure) -%}
    select {{ member }} from {{ breakdown }}
    where events > 0 order by {{ measure }} desc, {{ member }} asc limit 1
{%- endmacro %}
