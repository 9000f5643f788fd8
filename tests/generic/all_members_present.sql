{% test all_members_present(model, column, reference, reference_column) %}

select
    reference_members.{{ reference_column }} as known_member,
    members.{{ column }} as member_in_model
from {{ reference }} as reference_members
full outer join {{ model }} as members
    on reference_members.{{ reference_column }} = members.{{ column }}
where reference_members.{{ reference_column }} is null or members.{{ column }} is null

{% endtest %}
