{#- Two CTEs, `bins` and `histogram`: equally wide bins over [min, max] of a column, each closed on
    the left and the last one on both sides, as numpy.histogram has them.
    The bin of a value is guessed by division and then held against the published edges, so that
    rounding never puts a value outside the edges of its bin. A column with one single value, or with
    values so close that doubles could not tell the edges apart, gets half a unit to each side, or as
    much as doubles of that size need.
    Of `whole` numbers, some bins would hold one more than others and look like peaks: there each bin
    holds equally many, with the fewest that do with that many bins, and the last one may reach beyond
    the largest value. -#}
{% macro histogram_ctes(population, column, bins, copies=1, whole=false) -%}
ends as (
    select
        cast(min({{ column }}) as double) as low,
        cast(max({{ column }}) as double) as high,
        {%- if whole %}
            ceil((cast(max({{ column }}) as double) - min({{ column }}) + 1) / {{ bins }}) as width
        {%- else %}
            greatest(
                1e-300,
                {{ bins }} * 1e-15 * abs(cast(min({{ column }}) as double)),
                {{ bins }} * 1e-15 * abs(cast(max({{ column }}) as double))
            ) as least_width
        {%- endif %}
    from {{ population }}
),

extent as (
    select
        {%- if whole %}
            low,
            low + width * ceil((high - low + 1) / width) as high,
            cast(coalesce(ceil((high - low + 1) / width), {{ bins }}) as integer) as bins
        {%- else %}
            low - case when high - low < least_width then greatest(0.5, least_width) else 0 end as low,
            high + case when high - low < least_width then greatest(0.5, least_width) else 0 end as high,
            {{ bins }} as bins
        {%- endif %}
    from ends
),

bins as (
    select
        cast(series.generated_number as integer) as bin_number,
        extent.low + (series.generated_number - 1) * ((extent.high - extent.low) / extent.bins)
            as bin_start,
        case
            when series.generated_number = extent.bins then extent.high
            else extent.low + series.generated_number * ((extent.high - extent.low) / extent.bins)
        end as bin_end
    from ({{ dbt.generate_series(bins) }}) as series
    cross join extent
    where series.generated_number <= extent.bins
),

guesses as (
    select
        {{ population }}.{{ column }} as value_in_bin,
        {{ copies }} as copies,
        cast(least(
            floor(({{ population }}.{{ column }} - extent.low) / (extent.high - extent.low) * extent.bins),
            extent.bins - 1
        ) as integer) + 1 as bin_number
    from {{ population }}
    cross join extent
),

placed as (
    select
        case
            when guesses.value_in_bin < bins.bin_start then bins.bin_number - 1
            when guesses.value_in_bin >= bins.bin_end and bins.bin_number < extent.bins
                then bins.bin_number + 1
            else bins.bin_number
        end as bin_number,
        guesses.copies
    from guesses
    inner join bins on guesses.bin_number = bins.bin_number
    cross join extent
),

counts as (
    select
        bin_number,
        cast(sum(copies) as bigint) as frequency
    from placed
    group by bin_number
),

histogram as (
    select
        bins.bin_number,
        bins.bin_start,
        bins.bin_end,
        coalesce(counts.frequency, 0) as frequency
    from bins
    left join counts on bins.bin_number = counts.bin_number
)
{%- endmacro %}
