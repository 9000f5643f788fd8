with registered as (
    {{ rows_of(dimensions(), [
        'dimension', 'label', 'singular', 'plural', 'member_columns', 'members', 'is_tested',
        'is_further', 'is_absent', 'display_order',
    ]) }}
),

dimensions as (
    select
        dimension,
        label,
        singular,
        plural,
        member_columns,
        members,
        is_tested,
        is_further,
        is_absent,
        cast(display_order as integer) as display_order
    from registered
)

select * from dimensions
