-- Rows that were rejected for another reason than their member.
with rejected as (
    select * from {{ ref('int_checked_events') }}
    where rejection_reasons is not null
),

accepted as (
    select * from {{ ref('int_accepted_events') }}
),

quarantined as (
    {%- for column in event_columns() if column.kind == 'member' and not column.is_absent %}
        select
            '{{ column.name }}' as dimension,
            known.{{ column.name }} as member,
            count(*) as quarantined_rows
        from rejected
        inner join {{ ref(column.seed) }} as known on rejected.{{ column.name }} = known.{{ column.name }}
        group by known.{{ column.name }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

counted as (
    {%- for column in event_columns() if column.kind == 'member' and not column.is_absent %}
        select
            '{{ column.name }}' as dimension,
            {{ column.name }} as member,
            count(*) as accepted_rows
        from accepted
        where {{ column.name }} in (
            select member from quarantined
            where dimension = '{{ column.name }}'
        )
        group by {{ column.name }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

shares as (
    select
        quarantined.dimension,
        quarantined.member,
        quarantined.quarantined_rows,
        coalesce(counted.accepted_rows, 0) as accepted_rows,
        {{ ratio(
            'quarantined.quarantined_rows',
            'quarantined.quarantined_rows + coalesce(counted.accepted_rows, 0)'
        ) }} as quarantined_share
    from quarantined
    left join counted
        on quarantined.dimension = counted.dimension and quarantined.member = counted.member
)

select * from shares
