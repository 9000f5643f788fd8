with warnings as (
    select
        count(*) as dimensions,
        count(*) filter (where verdict in ('differs', 'explained_by_mix')) as told_dimensions,
        count(*) filter (where verdict = 'no_evidence') as judged_dimensions,
        min(p_adjusted) filter (where verdict = 'no_evidence') as p_adjusted
    from {{ ref('outcome_associations') }}
    where outcome = 'warning'
),

users as (
    select
        count(*) as users,
        count(*) filter (where risk_evidence = 'confirmed') as confirmed_users,
        count(*) filter (where risk_evidence = 'watch') as watched_users,
        count(*) filter (where risk_evidence = 'too_few_events') as small_users,
        count(*) filter (where risk_tier = 'high') as high_users,
        max(case when risk_evidence = 'confirmed' then shrunk_violation_rate end) as effect,
        min(p_adjusted) as p_adjusted
    from {{ ref('dim_users') }}
),

input_rows as (
    select * from {{ ref('int_input_rows') }}
),

dimensions as (
    select * from {{ ref('dimensions') }}
),

quarantined_members as (
    select
        members.*,
        coalesce(
            {{ member_in_words('members.dimension', 'dimensions.singular', 'members.member') }},
            members.dimension || ' ' || members.member
        ) as member_name
    from {{ ref('int_quarantined_members') }} as members
    left join dimensions on members.dimension = dimensions.dimension
    where members.quarantined_share > {{ var('maximum_quarantined_share_of_member') }}
),

-- Warnings have sentences of their own only where they differ.
warning_sentence as (
    select
        'warnings' as topic,
        0 as sentence_order,
        case
            when judged_dimensions = 0
                then 'There are too few warnings or users to compare warning rates'
            when {{ is_claimed('p_adjusted') }}
                then 'Warning rates differ a little, but nothing stands out by enough to be named'
            when told_dimensions > 0
                then 'By nothing else do warning rates differ more than chance explains'
            else 'Warning rates do not differ more than chance explains'
        end
        || '.' as finding,
        {{ grouped_digits('judged_dimensions') }} || ' of '
        || {{ counted('dimensions', 'comparison') }} || ' (by region, hour and the like) '
        || case when judged_dimensions = 1 then 'shows' else 'show' end || ' no difference, '
        || {{ grouped_digits('dimensions - told_dimensions - judged_dimensions') }}
        || ' had too little to go by. The rates stand in outcome_tests.' as detail,
        case when judged_dimensions = 0 then 'too_few' else 'no_evidence' end as verdict,
        cast(null as double) as effect,
        p_adjusted
    from warnings
    where dimensions > told_dimensions
),

user_sentence as (
    select
        'high_risk_users' as topic,
        0 as sentence_order,
        case
            when confirmed_users > 0
                then
                    {{ counted('confirmed_users', 'user has', 'users have') }}
                    || ' more violations than chance explains'
            when users = 0 then 'No event has a user'
            when small_users = users
                then
                    'All users have too few events to tell who has more violations'
                    || ' than chance explains'
            else 'No user has more violations than chance explains'
        end
        || '.' as finding,
        case
            when confirmed_users > 0
                then 'To list them: select * from dim_users where risk_evidence = ''confirmed''. '
            else ''
        end
        || 'Of ' || {{ counted('users', 'user') }} || ', ' || {{ grouped_digits('watched_users') }}
        || ' would stand out alone, as some do by chance among many; '
        || {{ grouped_digits('small_users') }}
        || ' have too few events for any number of violations to tell; '
        || {{ grouped_digits('high_users') }}
        || ' are in the risk tier high by their observed rate alone.'
        || case when confirmed_users > 0 then ' {{ limits_of_claims() }}' else '' end as detail,
        case
            when users = 0 then cast(null as {{ dbt.type_string() }})
            when confirmed_users > 0 then 'differs'
            when small_users = users then 'too_few'
            else 'no_evidence'
        end as verdict,
        effect,
        p_adjusted
    from users
),

input_sentence as (
    select
        'input_quality' as topic,
        0 as sentence_order,
        case
            when quarantined_rows = 0 then 'No raw row is quarantined'
            else {{ percent('quarantined_share') }} || ' of the raw rows are quarantined'
        end
        || '.' as finding,
        {{ grouped_digits('quarantined_rows') }} || ' of ' || {{ counted('raw_rows', 'raw row') }}
        || case when quarantined_rows = 1 then ' is' else ' are' end || ' quarantined and '
        || {{ counted('exact_copies_dropped', 'exact copy was', 'exact copies were') }}
        || ' dropped'
        || case
            when superseded_rows > 0
                then
                    '; ' || {{ counted('superseded_rows', 'row') }}
                    || ' gave way to another of the same event'
            else ''
        end
        || case
            when ambiguous_local_times > 0
                then
                    '; ' || {{ counted('ambiguous_local_times', 'event lies', 'events lie') }}
                    || ' in an hour that came twice as clocks of {{ var("events_time_zone") }}'
                    || ' went back'
            else ''
        end
        || '. Every figure speaks for the other ' || {{ counted('accepted_rows', 'event') }}
        || '.' as detail,
        {{ as_text('null') }} as verdict,
        quarantined_share as effect,
        cast(null as double) as p_adjusted
    from input_rows
),

member_input_sentences as (
    select
        'input_quality' as topic,
        1 as sentence_order,
        {{ percent('quarantined_share') }} || ' of the raw rows of ' || member_name
        || ' are quarantined.' as finding,
        'These are ' || {{ grouped_digits('quarantined_rows') }} || ' of '
        || {{ counted('quarantined_rows + accepted_rows', 'row') }}
        || '. The figures of ' || member_name || ' speak for the others only.' as detail,
        {{ as_text('null') }} as verdict,
        quarantined_share as effect,
        cast(null as double) as p_adjusted
    from quarantined_members
),

sentences as (
    select * from warning_sentence
    union all
    select * from user_sentence
    union all
    select * from input_sentence
    union all
    select * from member_input_sentences
)

select * from sentences
