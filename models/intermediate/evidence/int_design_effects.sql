with member_counts as (
    select * from {{ ref('int_member_counts') }}
),

member_users as (
    select * from {{ ref('int_member_users') }}
),

-- A member of a single user tells nothing of how users vary; it counts as the others do.
dimension_totals as (
    {%- for outcome in outcomes() %}
        select
            member_counts.dimension,
            '{{ outcome }}' as outcome,
            count(*) as members,
            {{ ratio('sum(member_counts.' ~ outcome ~ '_events)', 'sum(member_counts.events)') }}
                as rate,
            {{ exact_sum('member_users.' ~ outcome ~ '_variance') }}
            / nullif(count(member_users.{{ outcome }}_variance), 0) as mean_member_variance,
            max(member_users.dimension_{{ outcome }}_variance) as dimension_variance,
            max(member_users.dimension_effective_users) as effective_users
        from member_counts
        inner join member_users
            on
                member_counts.dimension = member_users.dimension
                and member_counts.member = member_users.member
        where not {{ is_unknown_member('member_counts.member') }}
        group by member_counts.dimension
        {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Mean generalised design effect of the differences between members (Rao and Scott, 1981): their
-- variance with users as clusters, over the one of independent events. What is estimated from few
-- users is worth as many degrees of freedom (Thomas and Rao, 1987).
design_effects as (
    select
        dimension,
        outcome,
        greatest(1.0, coalesce(
            (members * mean_member_variance - dimension_variance)
            / nullif((members - 1) * rate * (1 - rate), 0),
            1.0
        )) as design_effect,
        nullif(greatest(0.0, effective_users - 1), 0) as denominator_degrees
    from dimension_totals
)

select * from design_effects
