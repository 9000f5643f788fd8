{{ config(severity='warn') }}

select
    dimension,
    member,
    quarantined_rows,
    accepted_rows,
    quarantined_share
from {{ ref('int_quarantined_members') }}
where quarantined_share > {{ var('maximum_quarantined_share_of_member') }}
