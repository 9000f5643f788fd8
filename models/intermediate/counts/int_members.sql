{% set present = dimensions() | rejectattr('is_absent') | map(attribute='dimension') %}

with hours as (
    select cast(generated_number - 1 as integer) as event_hour
    from ({{ dbt.generate_series(24) }}) as series
),

age_bands as (
    {{ rows_of(age_bands(), ['age_band', 'display_order']) }}
),

days as (
    select * from {{ ref('int_days') }}
),

observed_streams as (
    select cast(member as bigint) as concurrent_streams
    from {{ ref('int_member_counts') }}
    where dimension = 'concurrent_streams' and member <> 'unknown'
),

further_members as (
    select distinct
        dimension,
        member,
        display_order
    from {{ ref('int_further_members') }}
    where member <> 'unknown'
),

members as (
    {%- for dimension in dimensions() if dimension.seed and not dimension.is_absent %}
        select
            '{{ dimension.dimension }}' as dimension,
            {{ dimension.columns[0] }} as member,
            display_order
        from {{ ref(dimension.seed) }}
        union all
    {%- endfor %}
    select
        'region_and_regulation' as dimension,
        regions.region || ' / ' || regulations.regulation as member,
        row_number() over (
            order by regions.display_order, regulations.display_order
        ) as display_order
    from {{ ref('regions') }} as regions
    cross join {{ ref('regulations') }} as regulations
    union all
    select
        'event_hour' as dimension,
        {{ as_text('event_hour') }} as member,
        event_hour + 1 as display_order
    from hours
    union all
    select
        'concurrent_streams' as dimension,
        {{ as_text('concurrent_streams') }} as member,
        row_number() over (order by concurrent_streams) as display_order
    from observed_streams
    union all
    select
        'age_band' as dimension,
        age_band as member,
        display_order
    from age_bands
    union all
    select
        'event_date' as dimension,
        {{ as_text('event_date') }} as member,
        row_number() over (order by event_date) as display_order
    from days
    union all
    select * from further_members
),

typed as (
    select
        dimension,
        member,
        cast(display_order as integer) as display_order
    from members
    where dimension in ({{ text_list(present) }})
)

select * from typed
