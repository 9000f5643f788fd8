{% test lists_all(model, column, names) %}

with named as (
    select *
    from (values {% for name in names %}('{{ name }}'){{ ', ' if not loop.last }}{% endfor %})
        as named (name)
)

select
    named.name as missing_name,
    listed.{{ column }} as surplus_name
from named
full outer join {{ model }} as listed on named.name = listed.{{ column }}
where named.name is null or listed.{{ column }} is null

{% endtest %}
