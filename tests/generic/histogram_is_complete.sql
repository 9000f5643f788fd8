{% test histogram_is_complete(model, bins, population, column, whole=false) %}

with histogram as (
    select * from {{ model }}
),

population_values as (
    select
        {{ column }} as value,
        count(*) as copies
    from {{ population }}
    where {{ column }} is not null
    group by {{ column }}
),

-- Counted anew between the published edges, without the arithmetic of the model.
recounted as (
    select
        histogram.bin_number,
        coalesce(sum(population_values.copies), 0) as frequency
    from histogram
    left join population_values
        on
            population_values.value >= histogram.bin_start
            and (
                population_values.value < histogram.bin_end
                or (
                    histogram.bin_number = {{ bins }}
                    and population_values.value <= histogram.bin_end
                )
            )
    group by histogram.bin_number
),

totals as (
    select
        count(*) as bins,
        max(bin_number) as last_bin,
        sum(frequency) as values_in_bins
    from histogram
),

expected as (
    select count({{ column }}) as expected_values from {{ population }}
)

select
    'a bin is missing, or values of the population are' as problem,
    totals.bins as bin_number,
    totals.values_in_bins as frequency,
    expected.expected_values as expected_frequency
from totals
cross join expected
where
    totals.bins <> totals.last_bin
    or totals.bins {{ '>' if whole else '<>' }} {{ bins }}
    or totals.values_in_bins <> expected.expected_values

union all

select
    'the values between the edges of the bin are not as many' as problem,
    histogram.bin_number,
    histogram.frequency,
    recounted.frequency as expected_frequency
from histogram
inner join recounted on histogram.bin_number = recounted.bin_number
where not coalesce(histogram.frequency = recounted.frequency, false)

union all

select
    'the bin does not begin where the one before ends, or is not wide' as problem,
    histogram.bin_number,
    histogram.frequency,
    cast(null as bigint) as expected_frequency
from histogram
cross join expected
left join histogram as bin_before on histogram.bin_number = bin_before.bin_number + 1
where
    not coalesce(histogram.bin_end > histogram.bin_start, expected.expected_values = 0)
    or abs(histogram.bin_start - bin_before.bin_end) > 1e-9

{%- if whole %}

    union all

    select
        'the bin holds a part of a whole number, or more or fewer of them than the first one' as problem,
        histogram.bin_number,
        histogram.frequency,
        cast(null as bigint) as expected_frequency
    from histogram
    inner join histogram as first_bin on first_bin.bin_number = 1
    where
        histogram.bin_start <> floor(histogram.bin_start)
        or histogram.bin_end - histogram.bin_start <> first_bin.bin_end - first_bin.bin_start
{%- endif %}

{% endtest %}
