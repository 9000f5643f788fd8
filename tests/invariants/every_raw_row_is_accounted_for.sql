with raw_rows as (
    {%- if source_is_files() %}
        -- Files that did not change are not read; `every_row_of_the_source_is_read` counts them.
        select sum(raw_rows) as raw_rows from {{ ref('int_source_file_days') }}
    {%- else %}
        select count(*) as raw_rows from {{ ref('base_compliance_events') }}
    {%- endif %}
),

accepted as (
    select count(*) as accepted_rows from {{ ref('fct_compliance_events') }}
),

quarantined as (
    select count(*) as quarantined_rows from {{ ref('quarantined_compliance_events') }}
),

-- The published account; the counts above are taken from the tables that people read.
account as (
    select * from {{ ref('int_input_rows') }}
)

select
    raw_rows.raw_rows,
    accepted.accepted_rows,
    quarantined.quarantined_rows,
    account.exact_copies_dropped,
    account.superseded_rows,
    account.accepted_rows as accepted_rows_in_account,
    account.quarantined_rows as quarantined_rows_in_account
from raw_rows
cross join accepted
cross join quarantined
cross join account
where
    not coalesce(
        raw_rows.raw_rows
        = accepted.accepted_rows + quarantined.quarantined_rows
        + account.exact_copies_dropped + account.superseded_rows
        and raw_rows.raw_rows = account.raw_rows
        and accepted.accepted_rows = account.accepted_rows
        and quarantined.quarantined_rows = account.quarantined_rows,
        false
    )
