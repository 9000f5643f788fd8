-- The headline figures in their order.
select
    section,
    metric,
    coalesce(value_text, cast(value_number as {{ dbt.type_string() }})) as metric_value,
    unit,
    verdict
from {{ ref('compliance_summary') }}
order by display_order
