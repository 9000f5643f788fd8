with counted as (
    select {{ rows_of_source() }} as rows_of_source
),

account as (
    select * from {{ ref('int_input_rows') }}
)

select
    counted.rows_of_source,
    account.raw_rows
from counted
cross join account
where counted.rows_of_source <> account.raw_rows
