{% test known_members_present(model) %}

{%- for dimension in dimensions() if dimension.seed and not dimension.is_absent %}
    select
        '{{ dimension.dimension }}' as dimension,
        known.{{ dimension.columns[0] }} as known_member,
        members.member as member_in_model
    from {{ ref(dimension.seed) }} as known
    full outer join (
        select * from {{ model }}
        where dimension = '{{ dimension.dimension }}' and member <> 'unknown'
    ) as members
        on known.{{ dimension.columns[0] }} = members.member
    where known.{{ dimension.columns[0] }} is null or members.member is null
    {{ 'union all' if not loop.last }}
{%- else %}
    select dimension from {{ model }} where false
{%- endfor %}

{% endtest %}
