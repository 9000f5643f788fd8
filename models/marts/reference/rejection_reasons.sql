with registered as (
    {{ rows_of(rejection_reasons(), [
        'rejection_reason', 'column_name', 'condition', 'bound', 'description', 'hint',
        'display_order',
    ]) }}
),

reasons as (
    select
        rejection_reason,
        column_name,
        condition,
        cast(bound as {{ dbt.type_string() }}) as bound,
        description,
        hint,
        cast(display_order as integer) as display_order
    from registered
)

select * from reasons
