-- What costs in a build, written by hand for DuckDB: judging raw rows, users, members with their users,
-- quantiles. The dbt project is measured against it.
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
        and concurrent_streams between 0 and getvariable('maximum_concurrent_streams')
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
    dayname(timestamp) as weekday,
    case
        when user_age < 13 then 'under 13'
        when user_age < 16 then '13-15'
        when user_age < 18 then '16-17'
        when user_age < 25 then '18-24'
        when user_age < 35 then '25-34'
        when user_age < 45 then '35-44'
        when user_age < 55 then '45-54'
        when user_age < 65 then '55-64'
        when user_age >= 65 then '65+'
    end as age_band,
    timestamp as occurred_at
from checked_events
where is_accepted;

create table quarantined_compliance_events as
select columns(name -> name not like 'tidy_%' and name not like 'is_%')
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
