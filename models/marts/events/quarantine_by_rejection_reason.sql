with rejection_reasons as (
    select * from {{ ref('rejection_reasons') }}
),

quarantined_events as (
    select * from {{ ref('quarantined_compliance_events') }}
),

input_rows as (
    select * from {{ ref('int_input_rows') }}
),

-- A row with several reasons counts under each of them.
counts as (
    select
        rejection_reasons.rejection_reason,
        count(*) as quarantined_rows
    from quarantined_events
    inner join rejection_reasons
        on {{ dbt.position(
            "',' || rejection_reasons.rejection_reason || ','",
            "',' || quarantined_events.rejection_reasons || ','"
        ) }} > 0
    group by rejection_reasons.rejection_reason
),

shares as (
    select
        rejection_reasons.rejection_reason,
        rejection_reasons.description,
        coalesce(counts.quarantined_rows, 0) as quarantined_rows,
        {{ ratio('coalesce(counts.quarantined_rows, 0)', 'input_rows.raw_rows') }}
            as raw_row_share,
        rejection_reasons.display_order
    from rejection_reasons
    cross join input_rows
    left join counts on rejection_reasons.rejection_reason = counts.rejection_reason
)

select * from shares
