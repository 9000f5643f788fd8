with trend as (
    select * from {{ ref('violation_trend') }}
),

control_chart as (
    select * from {{ ref('violation_control_chart') }}
),

unusual_days as (
    select * from {{ ref('unusual_days') }}
),

charted as (
    select
        count(*) as all_days,
        count(is_out_of_control) as judged_days,
        max(center_line) as center_line,
        coalesce({{ rarer_kind("'violation'", 'max(center_line)') }}, 'violations') as rarer_kind
    from control_chart
),

described as (
    select
        charted.*,
        coalesce(out_of_control.days, 0) as days_out_of_control,
        out_of_control.day_names_with_rates,
        out_of_control.largest_distance,
        set_aside.day_names as names_set_aside
    from charted
    left join unusual_days as out_of_control on out_of_control.kind = 'out of control'
    left join unusual_days as set_aside on set_aside.kind = 'set aside'
),

chart_sentence as (
    select
        'unusual_days' as topic,
        case
            when judged_days = 0
                then 'There are too few ' || rarer_kind || ' a day to tell which days are unusual'
            when days_out_of_control = 0 then 'No day has an unusual violation rate'
            else
                {{ counted('days_out_of_control', 'day has', 'days have') }}
                || ' an unusual violation rate: ' || day_names_with_rates
        end
        || '.' as finding,
        {{ grouped_digits('judged_days') }} || ' of ' || {{ counted('all_days', 'day') }}
        || ' can be judged; incomplete days and those with few ' || rarer_kind || ' cannot'
        || coalesce(
            case
                when judged_days > 0
                    then
                        '. The limits allow for the number of events of a day and for how days vary'
                        || ' around ' || {{ percent('center_line') }}
                        || '; of 1,000 ordinary days, about 3 lie outside by chance'
            end,
            ''
        )
        || '.' as detail,
        -- A reason to look, no claim: the more days, the more lie outside by chance.
        {{ as_text('null') }} as verdict,
        largest_distance as effect,
        cast(null as double) as p_adjusted
    from described
),

trend_sentence as (
    select
        'trend' as topic,
        case
            when trend.days < 3
                then 'There are too few whole days to see a trend of the violation rate'
            when trend.verdict = 'too_few'
                then
                    'There are too few ' || described.rarer_kind
                    || ' to see a trend of the violation rate'
            when trend.verdict = 'differs'
                then
                    'The violation rate '
                    || case when trend.change_per_week < 0 then 'falls' else 'rises' end
                    || ' by ' || {{ percentage_points('trend.change_per_week') }} || ' a week'
            when {{ is_claimed('trend.p_adjusted') }}
                then
                    'The violation rate '
                    || case when trend.change_per_week < 0 then 'falls' else 'rises' end
                    || ', but by too little to matter'
            else 'The violation rate neither rises nor falls more than chance explains'
        end
        || '.' as finding,
        case
            when trend.change_per_week is null or trend.verdict = 'too_few' then ''
            else
                'Over ' || {{ counted('trend.days', 'whole day') }} || ' with '
                || {{ counted('trend.events', 'event') }} || ', the change a week was '
                || {{ rise_or_fall('trend.change_per_week') }}
                || '{{ nbsp() }}percentage points'
                || ' ({{ percent_of_var("confidence_level") }} interval: from '
                || {{ rise_or_fall('trend.change_per_week_low') }} || ' to '
                || {{ rise_or_fall('trend.change_per_week_high') }} || '). '
        end
        || coalesce(
            case
                when trend.verdict = 'no_evidence'
                    then
                        'With a probability of {{ percent_of_var("power") }}, a change of '
                        || {{ percentage_points('trend.detectable_change') }}
                        || ' a week would have been found. '
            end,
            ''
        )
        || coalesce(
            'Set aside, because no trend explains them: ' || described.names_set_aside || '. ', ''
        )
        || case
            when trend.verdict = 'differs' then '{{ limits_of_claims() }}'
            else 'Incomplete days and days without events do not count.'
        end as detail,
        trend.verdict,
        trend.change_per_week as effect,
        trend.p_adjusted
    from trend
    cross join described
),

sentences as (
    select * from chart_sentence
    union all
    select * from trend_sentence
)

select * from sentences
