{% test all_members_present(model, column, reference, reference_column) %}

-- What is missing is no known member; of what the platform does not have, none is there.
{% set is_absent = dimensions() | selectattr('is_absent') | selectattr('columns', 'equalto', [column]) | list %}

select
    reference_members.{{ reference_column }} as known_member,
    members.{{ column }} as member_in_model
from {{ reference }} as reference_members
full outer join {{ model }} as members
    on reference_members.{{ reference_column }} = members.{{ column }}
where
    {% if is_absent %}members.{{ column }} is not null{% else %}
    reference_members.{{ reference_column }} is null and members.{{ column }} <> 'unknown'
    or members.{{ column }} is null
    {% endif %}

{% endtest %}
