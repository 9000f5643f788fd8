with dimension_sentences as (
    select * from {{ ref('dimension_sentences') }}
),

member_sentences as (
    select * from {{ ref('member_sentences') }}
    where is_shown
),

day_sentences as (
    select * from {{ ref('day_sentences') }}
),

other_sentences as (
    select * from {{ ref('other_sentences') }}
),

-- Of a dimension, violations come before warnings, and what is said of all members before some.
findings as (
    select
        10 * display_order + case when outcome = 'violation' then 0 else 2 end as topic_order,
        dimension as topic,
        finding,
        detail,
        verdict,
        effect,
        p_adjusted
    from dimension_sentences

    union all

    select
        10 * display_order + case when outcome = 'violation' then 1 else 3 end as topic_order,
        dimension as topic,
        finding,
        detail,
        verdict,
        effect,
        p_adjusted
    from member_sentences

    union all

    select
        case topic
            {%- for topic in ['unusual_days', 'trend'] %}
                when '{{ topic }}' then {{ order_of_topic(topic) }}
            {%- endfor %}
        end as topic_order,
        topic,
        finding,
        detail,
        verdict,
        effect,
        p_adjusted
    from day_sentences

    union all

    select
        case topic
            {%- for topic in ['warnings', 'high_risk_users', 'input_quality'] %}
                when '{{ topic }}' then {{ order_of_topic(topic) }}
            {%- endfor %}
        end
        + sentence_order as topic_order,
        topic,
        finding,
        detail,
        verdict,
        effect,
        p_adjusted
    from other_sentences
),

numbered as (
    select
        cast(
            row_number() over (
                order by topic_order asc, abs(effect) desc nulls last, finding asc
            ) as integer
        ) as display_order,
        topic,
        finding,
        detail,
        verdict,
        effect,
        p_adjusted
    from findings
)

select * from numbered
