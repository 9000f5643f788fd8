{% set members = event_columns() | selectattr('kind', 'equalto', 'member') %}
{% set columns = members | rejectattr('is_absent') | map(attribute='name') | list %}

-- Rows that were rejected for another reason than their member, and those of it that were accepted.
with rejected as (
    select * from {{ ref('int_checked_events') }}
    where rejection_reasons is not null
),

counts as (
    {%- for column in columns %}
        select
            '{{ column }}' as dimension,
            {{ column }} as member,
            count(*) as quarantined_rows,
            0 as accepted_rows
        from rejected
        where {{ column }} in (select {{ column }} from {{ ref(column_named(column).seed) }})
        group by {{ column }}

        union all

        select
            '{{ column }}' as dimension,
            {{ column }} as member,
            0 as quarantined_rows,
            count(*) as accepted_rows
        from {{ ref('int_accepted_events') }}
        where {{ column }} is not null
        group by {{ column }}
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

totals as (
    select
        dimension,
        member,
        cast(sum(quarantined_rows) as bigint) as quarantined_rows,
        cast(sum(accepted_rows) as bigint) as accepted_rows
    from counts
    group by dimension, member
),

shares as (
    select
        *,
        {{ ratio('quarantined_rows', 'quarantined_rows + accepted_rows') }} as quarantined_share
    from totals
    where quarantined_rows > 0
)

select * from shares
