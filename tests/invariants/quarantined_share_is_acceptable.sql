{{ config(severity='warn') }}
{{ report_quarantine(
    ref('int_input_rows'),
    ref('quarantine_by_rejection_reason'),
    ref('quarantined_compliance_events')
) }}

select
    rejection_reason,
    quarantined_rows,
    raw_row_share
from {{ ref('quarantine_by_rejection_reason') }}
where quarantined_rows > 0
