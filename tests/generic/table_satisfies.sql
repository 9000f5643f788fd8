{% test table_satisfies(model, condition) %}

select count(*) as table_rows
from {{ model }}
having not coalesce({{ condition }}, false)

{% endtest %}
