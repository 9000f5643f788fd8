-- What costs in a build, written by hand for DuckDB: judging raw rows, users, members with their users,
-- quantiles, correlations. The dbt project is measured against it.
--
-- by_hand.py sets session variables: `events` (a path or glob), `seeds` (the folder of the reference
-- data) and the project's variables. It counts dimensions by by_hand_dimension.sql.

-- The order of the rows means nothing, and keeping it costs memory.
set preserve_insertion_order = false;

create temp macro known(seed) as table from read_csv(getvariable('seeds') || '/' || seed || '.csv');
create temp macro tidy(text) as nullif(trim(text, ' ' || chr(9) || chr(10) || chr(13)), '');

create temp view raw_events as from read_parquet(getvariable('events'));

create temp view repeated_rows as
from raw_events
where event_id in (
    select event_id from raw_events where event_id is not null
    group by event_id having count(*) > 1
);

create temp table versions as
with counted as (
    select *, count(*) as copies from repeated_rows group by all
)

select *, count(*) over (partition by event_id) > 1 as is_conflicting from counted;

-- Of exact copies one row is kept; different rows with the same id are all quarantined.
create temp view tidy_events as
with candidates as (
    select *, false as is_conflicting from raw_events anti join versions using (event_id)
    union all by name
    select * exclude (copies) from versions
)

select
    *,
    upper(tidy(region)) as tidy_region,
    upper(tidy(regulation)) as tidy_regulation,
    lower(tidy(event_type)) as tidy_event_type,
    lower(tidy(status)) as tidy_status,
    lower(tidy(data_shared)) as tidy_data_shared
from candidates;

create temp view checked_events as
select
    *,
    (
        event_id is not null
        and not is_conflicting
        and timestamp between getvariable('earliest_timestamp')::timestamp
        and getvariable('latest_timestamp')::timestamp
        and user_id is not null
        and tidy_region in (select region from known('regions'))
        and tidy_regulation in (select regulation from known('regulations'))
        and tidy_event_type in (select event_type from known('event_types'))
        and tidy_status in (select status from known('statuses'))
        and user_age between getvariable('minimum_user_age') and getvariable('maximum_user_age')
        -- nan is larger than all numbers
        and session_duration_minutes between 0 and getvariable('maximum_session_duration_minutes')
        and concurrent_streams between 1 and getvariable('maximum_concurrent_streams')
        and tidy_data_shared in (select data_shared from known('data_sharing_levels'))
    ) is true as is_accepted
from tidy_events;

create table fct_compliance_events as
select
    event_id,
    user_id,
    tidy_region as region,
    tidy_regulation as regulation,
    tidy_event_type as event_type,
    tidy_status as status,
    tidy_data_shared as data_shared,
    user_age::bigint as user_age,
    concurrent_streams::bigint as concurrent_streams,
    session_duration_minutes,
    tidy_status = 'violation' as is_violation,
    hour(timestamp)::integer as event_hour,
    timestamp::date as event_date,
    timestamp as occurred_at
from checked_events
where is_accepted;

create table quarantined_compliance_events as
select
    event_id::varchar as event_id,
    timestamp::varchar as timestamp,
    user_id::varchar as user_id,
    region,
    regulation,
    event_type,
    status,
    user_age::varchar as user_age,
    session_duration_minutes::varchar as session_duration_minutes,
    concurrent_streams::varchar as concurrent_streams,
    data_shared,
    concat_ws(
        ',',
        case
            when event_id is null then 'event_id_missing'
            when is_conflicting then 'event_id_conflicting'
        end,
        case
            when timestamp is null then 'timestamp_missing'
            when timestamp < getvariable('earliest_timestamp')::timestamp then 'timestamp_too_early'
            when timestamp > getvariable('latest_timestamp')::timestamp then 'timestamp_in_future'
        end,
        case when user_id is null then 'user_id_missing' end,
        case
            when tidy_region is null then 'region_missing'
            when tidy_region not in (select region from known('regions')) then 'region_unknown'
        end,
        case
            when tidy_regulation is null then 'regulation_missing'
            when tidy_regulation not in (select regulation from known('regulations'))
                then 'regulation_unknown'
        end,
        case
            when tidy_event_type is null then 'event_type_missing'
            when tidy_event_type not in (select event_type from known('event_types'))
                then 'event_type_unknown'
        end,
        case
            when tidy_status is null then 'status_missing'
            when tidy_status not in (select status from known('statuses')) then 'status_unknown'
        end,
        case
            when user_age is null then 'user_age_missing'
            when
                user_age not between getvariable('minimum_user_age')
                and getvariable('maximum_user_age')
                then 'user_age_out_of_range'
        end,
        case
            when session_duration_minutes is null then 'session_duration_minutes_missing'
            when isnan(session_duration_minutes) or isinf(session_duration_minutes)
                then 'session_duration_minutes_not_finite'
            when session_duration_minutes < 0 then 'session_duration_minutes_negative'
            when session_duration_minutes > getvariable('maximum_session_duration_minutes')
                then 'session_duration_minutes_too_long'
        end,
        case
            when concurrent_streams is null then 'concurrent_streams_missing'
            when concurrent_streams < 1 then 'concurrent_streams_below_one'
            when concurrent_streams > getvariable('maximum_concurrent_streams')
                then 'concurrent_streams_too_many'
        end,
        case
            when tidy_data_shared is null then 'data_shared_missing'
            when tidy_data_shared not in (select data_shared from known('data_sharing_levels'))
                then 'data_shared_unknown'
        end
    ) as rejection_reasons
from checked_events
where not is_accepted;

create table user_totals as
select
    user_id,
    arg_min(user_age, event_id) as user_age,
    count(*) as events,
    count_if(status = 'violation')::bigint as violation_events,
    count_if(status = 'warning')::bigint as warning_events,
    avg(session_duration_minutes) as average_session_duration_minutes,
    avg(concurrent_streams) as average_concurrent_streams,
    min(occurred_at) as first_event_at,
    max(occurred_at) as last_event_at
from fct_compliance_events
group by user_id;

create table member_counts (
    dimension varchar,
    member varchar,
    events bigint,
    compliant_events bigint,
    warning_events bigint,
    violation_events bigint,
    users bigint,
    variance double,
    dimension_variance double
);

create temp view counted_events as
select
    *,
    1 as events,
    (status = 'compliant')::integer as compliant_events,
    (status = 'warning')::integer as warning_events,
    (status = 'violation')::integer as violation_events
from fct_compliance_events;

-- Almost every user has one region and one regulation: their dimensions come from one pass.
create temp table counted_places as
select
    user_id,
    region,
    regulation,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from fct_compliance_events
group by all;

create table session_duration_statistics as
with described as (
    select
        count(*) as events,
        avg(session_duration_minutes) as mean_minutes,
        stddev_samp(session_duration_minutes) as stddev_minutes,
        min(session_duration_minutes) as min_minutes,
        max(session_duration_minutes) as max_minutes,
        quantile_cont(session_duration_minutes, [0.25, 0.5, 0.75]) as quartiles
    from fct_compliance_events
)

select
    events,
    mean_minutes,
    stddev_minutes,
    min_minutes,
    quartiles[1] as p25_minutes,
    quartiles[2] as median_minutes,
    quartiles[3] as p75_minutes,
    max_minutes
from described;

-- Deviations of the durations and of their ranks, with ties at their average, by distinct value.
create temp table duration_deviations as
with counts as (
    select session_duration_minutes, count(*) as copies
    from fct_compliance_events
    group by all
)

select
    session_duration_minutes,
    copies,
    session_duration_minutes
    - sum(copies * session_duration_minutes) over () / sum(copies) over () as value_deviation,
    sum(copies) over (order by session_duration_minutes) - (copies - 1) / 2
    - (sum(copies) over () + 1) / 2 as rank_deviation
from counts;

-- Events alike in all but the duration count together: a correlation with few values needs no more.
create temp table combinations as
select
    is_violation::integer::double as is_violation,
    concurrent_streams::double as concurrent_streams,
    user_age::double as user_age,
    event_hour::double as event_hour,
    row_number() over () as combination,
    count(*) as copies,
    avg(value_deviation) as value_deviation,
    avg(rank_deviation) as rank_deviation
from fct_compliance_events
inner join duration_deviations using (session_duration_minutes)
group by all;

create temp table metric_deviations as
with counts as (
    select metric, metric_value, sum(copies) as copies
    from (
        unpivot combinations
        on is_violation, concurrent_streams, user_age, event_hour
        into name metric value metric_value
    )
    group by all
)

select
    metric,
    metric_value,
    copies,
    metric_value - sum(copies * metric_value) over metrics / sum(copies) over metrics
        as value_deviation,
    sum(copies) over (partition by metric order by metric_value) - (copies - 1) / 2
    - (sum(copies) over metrics + 1) / 2 as rank_deviation
from counts
window metrics as (partition by metric);

set variable metrics = [
    'is_violation', 'session_duration_minutes', 'concurrent_streams', 'user_age', 'event_hour'
];

-- A metric that does not vary has no correlation.
create temp table metric_squares as
select
    metric,
    case when count(*) > 1 then sum(copies * value_deviation * value_deviation) end as value_squares,
    case when count(*) > 1 then sum(copies * rank_deviation * rank_deviation) end as rank_squares
from (
    select metric, copies, value_deviation, rank_deviation from metric_deviations
    union all
    select 'session_duration_minutes', copies, value_deviation, rank_deviation
    from duration_deviations
) as deviations
group by metric;

create table metric_correlations as
with deviations as (
    select combination, 'session_duration_minutes' as metric, copies, value_deviation, rank_deviation
    from combinations
    union all
    select
        combination, metric, unpivoted.copies, metric_deviations.value_deviation,
        metric_deviations.rank_deviation
    from (
        unpivot combinations
        on is_violation, concurrent_streams, user_age, event_hour
        into name metric value metric_value
    ) as unpivoted
    inner join metric_deviations using (metric, metric_value)
),

pairs as (
    select
        x.metric as metric_x,
        y.metric as metric_y,
        sum(x.copies)::bigint as events,
        sum(x.copies * x.value_deviation * y.value_deviation) as value_product,
        sum(x.copies * x.rank_deviation * y.rank_deviation) as rank_product
    from deviations as x
    inner join deviations as y
        on
            x.combination = y.combination
            and list_position(getvariable('metrics'), x.metric)
            < list_position(getvariable('metrics'), y.metric)
    group by all
),

coefficients as (
    select
        metric_x,
        metric_y,
        events,
        value_product / sqrt(x.value_squares * y.value_squares) as pearson,
        rank_product / sqrt(x.rank_squares * y.rank_squares) as spearman
    from pairs
    inner join metric_squares as x on metric_x = x.metric
    inner join metric_squares as y on metric_y = y.metric
)

from coefficients;
