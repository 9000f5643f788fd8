{# In a release it is a table. #}
{{ config(materialized='view') }}

with further_members as (
    select * from {{ ref('int_further_members') }}
),

attributes as (
    {%- for dimension in further_dimensions() %}
        select
            event_id,
            '{{ dimension.dimension }}' as dimension,
            coalesce({{ dimension.dimension }}, 'unknown') as raw_value
        from {{ ref('int_accepted_events') }}
        {{ 'union all' if not loop.last }}
    {%- else %}
        select
            event_id,
            cast(null as {{ dbt.type_string() }}) as dimension,
            cast(null as {{ dbt.type_string() }}) as raw_value
        from {{ ref('int_accepted_events') }}
        where false
    {%- endfor %}
),

members as (
    select
        attributes.event_id,
        attributes.dimension,
        further_members.member,
        attributes.raw_value
    from attributes
    inner join further_members
        on
            attributes.dimension = further_members.dimension
            and attributes.raw_value = further_members.raw_value
)

select * from members
