-- Staging is named twice, because engines would keep a shared CTE of all rows in memory.
with repeated_ids as (
    select event_id
    from {{ ref('stg_compliance_events') }}
    where event_id is not null
    group by event_id
    having count(*) > 1
),

repeated_rows as (
    select
        {{ staged_event_columns('events.') | join(',\n        ') }},
        {%- if keeps_one_of_repeats() %}
            rank() over (
                partition by events.event_id
                {#- Numbers in text are numbers: 10 comes after 9. -#}
                {%- set order = 'desc' if var('repeated_events').keep == 'latest' else 'asc' %}
                order by
                    {{ dbt.safe_cast(as_text('events.repeat_order'), 'double') }} {{ order }} nulls last,
                    events.repeat_order {{ order }} nulls last
            ) as place,
            count(*) over (partition by events.event_id) as event_rows
        {%- else %}
            1 as place,
            0 as event_rows
        {%- endif %}
    from {{ ref('stg_compliance_events') }} as events
    inner join repeated_ids on events.event_id = repeated_ids.event_id
),

-- Values are compared, not how they are written.
distinct_rows as (
    select
        {%- for column in event_columns() %}
            {{ column.value }},
            min(raw_{{ column.name }}) as raw_{{ column.name }},
        {%- endfor %}
        source_date,
        count(*) as copies,
        max(event_rows) as event_rows
    from repeated_rows
    where place = 1
    group by {{ content_columns() | join(', ') }}
),

repeated as (
    select
        {{ staged_event_columns() | join(',\n        ') }},
        copies,
        count(*) over (partition by event_id) as versions,
        -- Rows that this one, or one of its versions, is kept in place of.
        case
            when event_rows > 0 and row_number() over (partition by event_id order by copies) = 1
                then event_rows - sum(copies) over (partition by event_id)
            else 0
        end as superseded
    from distinct_rows
)

select * from repeated
