-- How long are sessions? One row a bin; the mean stands beside for the line in the chart.
select
    histogram.bin_number,
    histogram.bin_start,
    histogram.bin_end,
    histogram.frequency,
    durations.mean_minutes,
    durations.median_minutes
from {{ ref('session_duration_histogram') }} as histogram
cross join {{ ref('session_duration_statistics') }} as durations
order by histogram.bin_number
