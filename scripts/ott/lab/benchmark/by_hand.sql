-- The tables of the schema marts from a Parquet file of events, written by hand for DuckDB: what the
-- dbt project is measured against. It makes the same rows and columns, without the project's
-- descriptions, contracts, checks, portability or release.
--
-- Session variables name the input (`events`, a path or glob), the folder of the reference data
-- (`seeds`) and the project's variables; by_hand.py sets them, and makes tables of the lists in
-- the project's registry.

create schema marts;

-- The order of the rows means nothing, and keeping it costs memory.
set preserve_insertion_order = false;

-- --- reference data ------------------------------------------------------------------------------

create temp table regions as from read_csv(getvariable('seeds') || '/regions.csv');
create temp table regulations as from read_csv(getvariable('seeds') || '/regulations.csv');
create temp table event_types as from read_csv(getvariable('seeds') || '/event_types.csv');
create temp table statuses as from read_csv(getvariable('seeds') || '/statuses.csv');
create temp table data_sharing_levels as
from read_csv(getvariable('seeds') || '/data_sharing_levels.csv');
create temp table risk_tiers as from read_csv(getvariable('seeds') || '/risk_tiers.csv');

-- --- functions -----------------------------------------------------------------------------------

create temp macro tidy(text) as nullif(trim(text, ' ' || chr(9) || chr(10) || chr(13)), '');

create temp macro polynomial(x, coefficients) as list_reduce(
    list_reverse(coefficients::double[]), lambda total, coefficient: total * x + coefficient
);

-- Complementary error function (Cody, 1969).
create temp macro erfc(x) as case
    when x <= 0.46875
        then 1 - x
            * polynomial(x * x, [
                3.20937758913846947e3, 3.77485237685302021e2, 1.13864154151050156e2,
                3.16112374387056560e0, 1.85777706184603153e-1
            ])
            / polynomial(x * x, [
                2.84423683343917062e3, 1.28261652607737228e3, 2.44024637934444173e2,
                2.36012909523441209e1, 1e0
            ])
    when x <= 4
        then exp(-x * x)
            * polynomial(x, [
                1.23033935479799725e3, 2.05107837782607147e3, 1.71204761263407058e3,
                8.81952221241769090e2, 2.98635138197400131e2, 6.61191906371416295e1,
                8.88314979438837594e0, 5.64188496988670089e-1, 2.15311535474403846e-8
            ])
            / polynomial(x, [
                1.23033935480374942e3, 3.43936767414372164e3, 4.36261909014324716e3,
                3.29079923573345963e3, 1.62138957456669019e3, 5.37181101862009858e2,
                1.17693950891312499e2, 1.57449261107098347e1, 1e0
            ])
    else
        exp(-x * x) / x * (
            0.56418958354775628695 - 1 / (x * x)
            * polynomial(1 / (x * x), [
                6.58749161529837803e-4, 1.60837851487422766e-2, 1.25781726111229246e-1,
                3.60344899949804439e-1, 3.05326634961232344e-1, 1.63153871373020978e-2
            ])
            / polynomial(1 / (x * x), [
                2.33520497626869185e-3, 6.05183413124413191e-2, 5.27905102951428412e-1,
                1.87295284992346725e0, 2.56852019228982242e0, 1e0
            ])
        )
end;

create temp macro two_sided_p(z) as erfc(abs(z) * 0.70710678118654752440);

-- Quantile of the normal distribution (Wichura, 1988) for probabilities from 0.5 on.
create temp macro upper_normal_quantile(p) as case
    when p <= 0.925
        then (p - 0.5)
            * polynomial(0.180625 - (p - 0.5) * (p - 0.5), [
                3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
                1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
                3.3430575583588128105e4, 2.5090809287301226727e3
            ])
            / polynomial(0.180625 - (p - 0.5) * (p - 0.5), [
                1e0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
                2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
                5.2264952788528545610e3
            ])
    when sqrt(-ln(1 - p)) <= 5
        then polynomial(sqrt(-ln(1 - p)) - 1.6, [
                1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
                3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
                2.27238449892691845833e-2, 7.74545014278341407640e-4
            ])
            / polynomial(sqrt(-ln(1 - p)) - 1.6, [
                1e0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                1.05075007164441684324e-9
            ])
    else
        polynomial(sqrt(-ln(1 - p)) - 5, [
            6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
            2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
            2.71155556874348757815e-5, 2.01033439929228813265e-7
        ])
        / polynomial(sqrt(-ln(1 - p)) - 5, [
            1e0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
            7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
            2.04426310338993978564e-15
        ])
end;

create temp macro poisson_probability(x, mean) as exp(x * ln(mean) - mean - lgamma(x + 1));

create temp macro binomial_probability(n, k, p) as exp(
    lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * ln(p) + (n - k) * ln(1 - p)
);

-- The p-value of a correlation: the normal deviate of Student's t (Hill, 1970). `y` is (n - 2.5)
-- times -ln(1 - r^2), which is a series where r^2 is small.
create temp macro minus_log_of_unexplained(square) as case
    when square < 0.001
        then square * polynomial(square, [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6])
    else -ln(greatest(1 - square, 1e-300))
end;

create temp macro deviate_of_correlation(y, a) as (
    ((((y * -0.4 - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + 48 * a * a) + y + 3.0)
    / (48 * a * a) + 1.0
) * sqrt(y);

create temp macro correlation_p(r, n) as case
    when n > 3
        then two_sided_p(deviate_of_correlation((n - 2.5) * minus_log_of_unexplained(r * r), n - 2.5))
end;

-- Incomplete beta ratio by its continued fraction, from the far end (Abramowitz and Stegun, 26.5.8).
create temp macro beta_fraction(a, b, x) as
exp(a * ln(x) + b * ln(1 - x) + lgamma(a + b) - lgamma(a) - lgamma(b)) / a / list_reduce(
    [1.0::double] || list_reverse(range(1, 400))::double[],
    lambda rest, k: 1 + x / rest * case
        when k % 2 = 0 then k / 2 * (b - k / 2) / ((a + k - 1) * (a + k))
        else -(a + (k - 1) / 2) * (a + b + (k - 1) / 2) / ((a + k - 1) * (a + k))
    end
);

-- Probability that Student's t with so many degrees of freedom lies farther from zero.
create temp macro student_p(t, freedom) as case
    when t = 0 then 1.0
    when freedom / (freedom + t * t) < (freedom + 2) / (freedom + 5)
        then beta_fraction(freedom / 2, 0.5, freedom / (freedom + t * t))
    else 1 - beta_fraction(0.5, freedom / 2, t * t / (freedom + t * t))
end;

-- Its inverse, by halving the range of t / (1 + t).
create temp macro student_place(p, freedom) as list_reduce(
    [0.5::double] || list_transform(range(2, 60), lambda step: power(2.0, -step)),
    lambda place, step:
        place + case when student_p(place / (1 - place), freedom) > p then step else -step end
);

create temp macro student_t(p, freedom) as
student_place(p, freedom) / (1 - student_place(p, freedom));

create temp macro rarer_kind(violation_rate) as
case when violation_rate > 0.5 then 'events without a violation' else 'violations' end;

create temp macro wilson_sum(successes, trials) as
successes + getvariable('confidence_z') * getvariable('confidence_z') / 2
+ getvariable('confidence_z') * sqrt(
    successes::double * (trials - successes) / nullif(trials, 0)
    + getvariable('confidence_z') * getvariable('confidence_z') / 4
);

create temp macro wilson_low(successes, trials) as
successes::double * successes / nullif(trials * wilson_sum(successes, trials), 0);

create temp macro wilson_high(successes, trials) as case
    when successes < trials - successes
        then wilson_sum(successes, trials)
            / (trials + getvariable('confidence_z') * getvariable('confidence_z'))
    else 1 - wilson_low(trials - successes, trials)
end;

create temp macro percent(fraction) as (100.0 * fraction)::decimal(9, 1)::varchar || ' %';

create temp macro points(fraction) as
(100.0 * fraction)::decimal(9, 2)::varchar || ' percentage points';

create temp macro percent_of(level) as regexp_replace(
    round(100.0 * level, 2)::double::varchar, '\.0$', ''
) || ' %';

create temp macro rate_with_interval(rate, low, high, n) as
percent(rate) || ' (' || percent_of(getvariable('confidence_level')) || ' interval '
|| percent(low) || ' to ' || percent(high) || ', n = ' || n::varchar || ')';

set variable confidence_z = upper_normal_quantile((1 + getvariable('confidence_level')) / 2);
set variable power_z = upper_normal_quantile(getvariable('power'));

-- --- events --------------------------------------------------------------------------------------

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
create temp view candidates as
select *, false as is_conflicting from raw_events anti join versions using (event_id)
union all by name
select * exclude (copies) from versions;

create temp view tidy_events as
select
    candidates.*,
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
        and tidy_region in (select region from regions)
        and tidy_regulation in (select regulation from regulations)
        and tidy_event_type in (select event_type from event_types)
        and tidy_status in (select status from statuses)
        and user_age between getvariable('minimum_user_age') and getvariable('maximum_user_age')
        -- nan is larger than all numbers
        and session_duration_minutes between 0 and getvariable('maximum_session_duration_minutes')
        and concurrent_streams between 1 and getvariable('maximum_concurrent_streams')
        and tidy_data_shared in (select data_shared from data_sharing_levels)
    ) is true as is_accepted
from tidy_events;

create table marts.fct_compliance_events as
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

create table marts.quarantined_compliance_events as
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
            when tidy_region not in (select region from regions) then 'region_unknown'
        end,
        case
            when tidy_regulation is null then 'regulation_missing'
            when tidy_regulation not in (select regulation from regulations)
                then 'regulation_unknown'
        end,
        case
            when tidy_event_type is null then 'event_type_missing'
            when tidy_event_type not in (select event_type from event_types)
                then 'event_type_unknown'
        end,
        case
            when tidy_status is null then 'status_missing'
            when tidy_status not in (select status from statuses) then 'status_unknown'
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
            when tidy_data_shared not in (select data_shared from data_sharing_levels)
                then 'data_shared_unknown'
        end
    ) as rejection_reasons
from checked_events
where not is_accepted;

create temp table input_rows as
select
    raw.raw_rows,
    accepted.accepted_rows,
    quarantined.quarantined_rows,
    coalesce(copied.exact_copies_dropped, 0)::bigint as exact_copies_dropped,
    quarantined.quarantined_rows / nullif(raw.raw_rows, 0) as quarantined_share
from (select count(*) as raw_rows from raw_events) as raw
cross join (select count(*) as accepted_rows from marts.fct_compliance_events) as accepted
cross join (
    select count(*) as quarantined_rows from marts.quarantined_compliance_events
) as quarantined
cross join (
    select sum(copies - 1) as exact_copies_dropped from versions
) as copied;

create table marts.quarantine_by_rejection_reason as
select
    rejection_reason,
    description,
    coalesce(quarantined_rows, 0) as quarantined_rows,
    coalesce(quarantined_rows, 0) / nullif((select raw_rows from input_rows), 0) as raw_row_share,
    display_order::integer as display_order
from rejection_reasons
left join (
    select rejection_reason, count(*) as quarantined_rows
    from (
        select unnest(string_split(rejection_reasons, ',')) as rejection_reason
        from marts.quarantined_compliance_events
    ) as reasons
    group by rejection_reason
) as counts using (rejection_reason);

-- --- users ---------------------------------------------------------------------------------------

create temp table user_totals as
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
from marts.fct_compliance_events
group by user_id;

-- The overall rate, and the correlation of two events of one user (Kleinman, 1973).
create temp table shrinkage as
with moments as (
    select
        count(*) as users,
        sum(events)::double as events,
        sum(events * events)::double as squared_events,
        sum(violation_events) / nullif(sum(events), 0) as overall_rate,
        sum(violation_events * violation_events / events)
        - overall_rate * sum(violation_events) as spread
    from user_totals
)

select
    overall_rate,
    greatest(0.0, least(1.0, coalesce(
        (spread / nullif(overall_rate * (1 - overall_rate), 0) - (users - 1))
        / nullif(events - squared_events / events - (users - 1), 0),
        0.0
    ))) as user_correlation
from moments;

-- Exact binomial test of every number of violations in every number of events that occurs. The sum
-- runs away from the mean, as far as terms count.
create temp table binomial_tests as
with outcomes as (
    select distinct
        events,
        violation_events,
        overall_rate,
        violation_events > events * overall_rate as is_above_mean,
        ceil(40 + 12 * sqrt(events * overall_rate * (1 - overall_rate)))::bigint as terms
    from user_totals
    cross join shrinkage
),

terms as (
    select
        *,
        unnest(
            case
                when is_above_mean
                    then range(violation_events, least(events, violation_events + terms) + 1)
                else range(greatest(0, violation_events - terms), violation_events)
            end
        ) as k
    from outcomes
    where overall_rate > 0 and overall_rate < 1
),

sums as (
    select
        events,
        violation_events,
        sum(binomial_probability(events, k, overall_rate)) as probability
    from terms
    group by all
)

select
    outcomes.events,
    outcomes.violation_events,
    case
        when outcomes.violation_events = 0 or outcomes.overall_rate >= 1 then 1.0
        when outcomes.is_above_mean then least(1.0, sums.probability)
        else greatest(0.0, 1.0 - coalesce(sums.probability, 0))
    end as p_value,
    power(outcomes.overall_rate, outcomes.events) as smallest_possible_p_value
from outcomes
left join sums using (events, violation_events);

-- Adjusted by Benjamini and Hochberg (1995), over the distinct p-values: users with the same
-- outcome share theirs.
create temp table adjusted_tests as
with counted as (
    select
        binomial_tests.*,
        count(*) as users
    from user_totals
    inner join binomial_tests using (events, violation_events)
    group by all
),

stepped as (
    select
        *,
        p_value * sum(users) over () / sum(users) over (order by p_value) as step
    from counted
)

select
    events,
    violation_events,
    p_value,
    smallest_possible_p_value,
    least(1.0, min(step) over (
        order by p_value rows between current row and unbounded following
    )) as p_adjusted
from stepped;

create table marts.dim_users as
select
    user_totals.user_id,
    user_totals.user_age,
    user_totals.events,
    user_totals.violation_events,
    user_totals.warning_events,
    user_totals.violation_events / user_totals.events as violation_rate,
    user_totals.average_session_duration_minutes,
    user_totals.average_concurrent_streams,
    user_totals.first_event_at,
    user_totals.last_event_at,
    case
        when violation_rate > getvariable('high_risk_above') then 'high'
        when violation_rate > getvariable('medium_risk_above') then 'medium'
        else 'low'
    end as risk_tier,
    tests.p_value,
    tests.p_adjusted,
    overall_rate + (violation_rate - overall_rate)
    * user_totals.events * user_correlation / (1 + (user_totals.events - 1) * user_correlation)
        as shrunk_violation_rate,
    case
        when tests.smallest_possible_p_value >= getvariable('alpha') then 'too_few_events'
        when tests.p_adjusted < getvariable('alpha') then 'confirmed'
        when tests.p_value < getvariable('alpha') then 'watch'
        else 'typical'
    end as risk_evidence
from user_totals
inner join adjusted_tests as tests using (events, violation_events)
cross join shrinkage;

create table marts.top_risk_users as
select
    (row_number() over (
        order by
            p_adjusted asc nulls last,
            p_value asc nulls last,
            shrunk_violation_rate desc nulls last,
            events desc,
            user_id asc
    ))::integer as risk_rank,
    user_id,
    user_age,
    events,
    violation_events,
    warning_events,
    violation_rate,
    average_session_duration_minutes,
    average_concurrent_streams,
    first_event_at,
    last_event_at,
    risk_tier,
    p_value,
    p_adjusted,
    shrunk_violation_rate,
    risk_evidence
from marts.dim_users
order by risk_rank
limit getvariable('top_risk_users');

-- --- events by member and user -------------------------------------------------------------------

-- One dimension after another through the same tables, because by user they are large. From its
-- counts by member and user come the counts by member, the number of users, and what the design
-- effect needs.
create temp table members (
    dimension varchar,
    member varchar,
    events bigint,
    compliant_events bigint,
    warning_events bigint,
    violation_events bigint,
    users bigint,
    variance double
);
create temp table overall_variances (dimension varchar, variance double);

-- Variance of an event with users as clusters; null for a single user.
create temp macro clustered_variance(squared_residuals, events, squared_events) as
squared_residuals / events / nullif(1 - squared_events / (events * events), 0);

create temp macro members_of(name, counts) as table
with sums as (
    select
        member,
        sum(events)::bigint as events,
        sum(compliant_events)::bigint as compliant_events,
        sum(warning_events)::bigint as warning_events,
        sum(violation_events)::bigint as violation_events,
        count(*) as users,
        sum(violation_events) / sum(events) as rate,
        sum(violation_events * violation_events)::double as squared_violations,
        sum(violation_events * events)::double as products,
        sum(events * events)::double as squared_events
    from query_table(counts)
    group by member
)

select
    name as dimension,
    member::varchar as member,
    events,
    compliant_events,
    warning_events,
    violation_events,
    users,
    clustered_variance(
        -- Sum over users of (violations - events * rate)^2.
        squared_violations - 2 * rate * products + rate * rate * squared_events,
        events::double,
        squared_events
    ) as variance
from sums;

create temp macro overall_variance_of(name, counts) as table
with rates as (
    select member, sum(violation_events) / sum(events) as rate
    from query_table(counts)
    group by member
),

users as (
    select
        sum(violation_events - events * rate) as residual,
        sum(events)::double as events
    from query_table(counts)
    inner join rates using (member)
    group by user_id
)

select
    name as dimension,
    clustered_variance(sum(residual * residual), sum(events), sum(events * events)) as variance
from users;

-- Almost every user has one region and one regulation: three dimensions from one pass.
create temp table user_places as
select
    user_id,
    region,
    regulation,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from marts.fct_compliance_events
group by all;

create temp table user_members as
select
    user_id,
    region || ' / ' || regulation as member,
    events,
    compliant_events,
    warning_events,
    violation_events
from user_places;
insert into members from members_of('region_and_regulation', 'user_members');
insert into overall_variances from overall_variance_of('region_and_regulation', 'user_members');

create or replace temp table user_members as
select
    user_id,
    region as member,
    sum(events)::bigint as events,
    sum(compliant_events)::bigint as compliant_events,
    sum(warning_events)::bigint as warning_events,
    sum(violation_events)::bigint as violation_events
from user_places
group by all;
insert into members from members_of('region', 'user_members');
insert into overall_variances from overall_variance_of('region', 'user_members');

create or replace temp table user_members as
select
    user_id,
    regulation as member,
    sum(events)::bigint as events,
    sum(compliant_events)::bigint as compliant_events,
    sum(warning_events)::bigint as warning_events,
    sum(violation_events)::bigint as violation_events
from user_places
group by all;
insert into members from members_of('regulation', 'user_members');
insert into overall_variances from overall_variance_of('regulation', 'user_members');

create or replace temp table user_members as
select
    user_id,
    event_type as member,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from marts.fct_compliance_events
group by all;
insert into members from members_of('event_type', 'user_members');
insert into overall_variances from overall_variance_of('event_type', 'user_members');

create or replace temp table user_members as
select
    user_id,
    data_shared as member,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from marts.fct_compliance_events
group by all;
insert into members from members_of('data_shared', 'user_members');
insert into overall_variances from overall_variance_of('data_shared', 'user_members');

create or replace temp table user_members as
select
    user_id,
    event_hour as member,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from marts.fct_compliance_events
group by all;
insert into members from members_of('event_hour', 'user_members');
insert into overall_variances from overall_variance_of('event_hour', 'user_members');

create or replace temp table user_members as
select
    user_id,
    concurrent_streams as member,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from marts.fct_compliance_events
group by all;
insert into members from members_of('concurrent_streams', 'user_members');
insert into overall_variances from overall_variance_of('concurrent_streams', 'user_members');

create or replace temp table user_members as
select
    user_id,
    event_date as member,
    count(*) as events,
    count_if(status = 'compliant')::bigint as compliant_events,
    count_if(status = 'warning')::bigint as warning_events,
    count_if(status = 'violation')::bigint as violation_events
from marts.fct_compliance_events
group by all;
insert into members from members_of('event_date', 'user_members');
insert into overall_variances from overall_variance_of('event_date', 'user_members');

drop table user_members;
drop table user_places;

-- --- findings ------------------------------------------------------------------------------------

-- Rao and Scott (1981): the variance of the differences between members, users being clusters, over
-- that of independent events.
create table marts.violation_associations as
with totals as (
    select
        dimension,
        count(*) as members,
        count(*) - 1 as degrees_of_freedom,
        sum(events)::double as events,
        sum(violation_events) / sum(events) as rate,
        avg(variance) as mean_member_variance
    from members
    group by dimension
),

design_effects as (
    select
        totals.*,
        greatest(1.0, coalesce(
            (totals.members * mean_member_variance - overall_variances.variance)
            / nullif(degrees_of_freedom * rate * (1 - rate), 0),
            1.0
        )) as design_effect
    from totals
    inner join overall_variances using (dimension)
),

pearson as (
    select
        dimension,
        design_effects.members,
        degrees_of_freedom,
        design_effects.events,
        design_effect,
        sum(members.events * power(members.violation_events / members.events - rate, 2))
        / nullif(any_value(rate * (1 - rate)), 0) as chi_square,
        count_if(
            members.events * least(rate, 1 - rate) < getvariable('minimum_expected_violations')
        ) as sparse_members
    from design_effects
    inner join members using (dimension)
    group by all
),

-- As it stands, and corrected for the clustering of events by user.
tests as (
    select dimension, degrees_of_freedom, false as is_clustered, chi_square from pearson
    union all
    select dimension, degrees_of_freedom, true, chi_square / design_effect from pearson
),

-- Finite sums of Poisson terms (Abramowitz and Stegun, 26.4.4 and 26.4.5).
terms as (
    select
        *,
        unnest(range(0, degrees_of_freedom // 2))
        + case when degrees_of_freedom % 2 = 1 then 0.5 else 0 end as term
    from tests
    where chi_square > 0
),

sums as (
    select dimension, is_clustered, sum(poisson_probability(term, chi_square / 2)) as probability
    from terms
    group by all
),

tails as (
    select
        tests.dimension,
        tests.is_clustered,
        case
            when chi_square is null or degrees_of_freedom < 1 then null
            when chi_square = 0 then 1.0
            else least(
                1.0,
                coalesce(probability, 0)
                + case when degrees_of_freedom % 2 = 1 then two_sided_p(sqrt(chi_square)) else 0 end
            )
        end as p_value
    from tests
    left join sums using (dimension, is_clustered)
),

tested as (
    select
        pearson.*,
        textbook.p_value,
        clustered.p_value as clustered_p_value
    from pearson
    inner join tails as textbook
        on pearson.dimension = textbook.dimension and not textbook.is_clustered
    inner join tails as clustered
        on pearson.dimension = clustered.dimension and clustered.is_clustered
),

-- Holm (1979).
steps as (
    select
        *,
        clustered_p_value * (
            count(clustered_p_value) over ()
            - row_number() over (order by clustered_p_value nulls last, dimension) + 1
        ) as step
    from tested
),

adjusted as (
    select
        *,
        case
            when clustered_p_value is not null
                then least(1.0, max(step) over (
                    order by clustered_p_value nulls last, dimension
                    rows unbounded preceding
                ))
        end as p_adjusted
    from steps
)

select
    dimension,
    members,
    chi_square,
    degrees_of_freedom,
    p_value,
    p_adjusted,
    sqrt(chi_square / events) as cramers_v,
    design_effect,
    case
        when 5 * sparse_members > members or p_adjusted is null then 'too_few'
        when p_adjusted < getvariable('alpha') then 'differs'
        else 'no_evidence'
    end as verdict
from adjusted;

create table marts.violation_tests as
with constants as (
    select
        getvariable('power_z') as power_z,
        upper_normal_quantile(level) as dimension_z
    from (select 1 - getvariable('alpha') / count(*) as level from tested_dimensions) as levels
),

compared as (
    select
        dimension,
        member,
        events,
        violation_events,
        sum(events) over family - events as rest_events,
        sum(violation_events) over family - violation_events as rest_violation_events,
        sum(violation_events) over family / sum(events) over family as pooled_rate
    from members
    window family as (partition by dimension)
),

differences as (
    select
        *,
        violation_events / events as violation_rate,
        violation_rate - rest_violation_events / nullif(rest_events, 0) as rate_difference,
        sqrt(pooled_rate * (1 - pooled_rate) * (1 / events + 1 / nullif(rest_events, 0)))
            as standard_error
    from compared
),

tested as (
    select
        differences.*,
        associations.design_effect,
        associations.degrees_of_freedom,
        associations.verdict as dimension_verdict,
        standard_error * sqrt(design_effect) as clustered_error,
        two_sided_p(rate_difference / nullif(standard_error, 0)) as p_value,
        two_sided_p(rate_difference / nullif(clustered_error, 0)) as clustered_p_value
    from differences
    inner join marts.violation_associations as associations using (dimension)
),

steps as (
    select
        *,
        count(clustered_p_value) over (partition by dimension) as family_size,
        clustered_p_value * (
            family_size - row_number() over (
                partition by dimension order by clustered_p_value nulls last, member
            ) + 1
        ) as step
    from tested
),

adjusted as (
    select
        *,
        case
            when clustered_p_value is not null
                then least(1.0, max(step) over (
                    partition by dimension order by clustered_p_value nulls last, member
                    rows unbounded preceding
                ))
        end as p_adjusted
    from steps
),

-- The critical values of the smallest p-value among the members, and of the dimension among all
-- (Wilson and Hilferty, 1931); the noncentrality that exceeds it with the power (Patnaik, 1949).
powered as (
    select
        *,
        upper_normal_quantile(1 - getvariable('alpha') / (2.0 * greatest(family_size, 1)))
            as critical_z,
        degrees_of_freedom * power(
            1 - 2 / (9.0 * degrees_of_freedom) + dimension_z * sqrt(2 / (9.0 * degrees_of_freedom)),
            3
        ) - degrees_of_freedom as excess,
        excess + 2 * power_z * power_z as half,
        greatest(
            critical_z,
            sqrt(
                half
                + sqrt(half * half - excess * excess + 2 * power_z * power_z * degrees_of_freedom)
            ) - power_z
        ) as demanded_errors,
        least(
            pooled_rate + (demanded_errors + power_z) * clustered_error, greatest(pooled_rate, 0.5)
        ) as higher_rate,
        sqrt(design_effect * (
            higher_rate * (1 - higher_rate) / events
            + pooled_rate * (1 - pooled_rate) / nullif(rest_events, 0)
        )) as alternative_error
    from adjusted
    cross join constants
)

select
    dimension,
    member,
    events,
    violation_events,
    violation_rate,
    wilson_low(violation_events, events) as violation_rate_low,
    wilson_high(violation_events, events) as violation_rate_high,
    rate_difference,
    case
        when clustered_error > 0
            then greatest(
                demanded_errors * clustered_error,
                getvariable('minimum_effect_percentage_points') / 100.0
            ) + power_z * alternative_error
    end as detectable_difference,
    p_value,
    p_adjusted,
    case
        when
            least(events, rest_events) * least(pooled_rate, 1 - pooled_rate)
            < getvariable('minimum_expected_violations')
            then 'too_few'
        when
            dimension_verdict = 'differs'
            and p_adjusted < getvariable('alpha')
            and abs(rate_difference) >= getvariable('minimum_effect_percentage_points') / 100.0
            then 'differs'
        else 'no_evidence'
    end as verdict
from powered;

create temp table days as
with counts as (
    select
        event_date,
        min(event_hour) as first_hour,
        max(event_hour) as last_hour,
        count(*) as events,
        count_if(is_violation)::bigint as violation_events
    from marts.fct_compliance_events
    group by event_date
),

dates as (
    select unnest(range(min(event_date), max(event_date) + 1, interval 1 day))::date as event_date
    from counts
)

select
    event_date,
    coalesce(events, 0) as events,
    coalesce(violation_events, 0) as violation_events,
    (event_date = min(event_date) over () and first_hour > 0)
    or (event_date = max(event_date) over () and last_hour < 23) as is_partial_day
from dates
left join counts using (event_date);

-- Laney's p' (2002).
create table marts.violation_control_chart as
with whole_days as (
    select
        event_date,
        sum(violation_events) over () / nullif(sum(events) over (), 0) as center_line,
        (violation_events / events - center_line)
        / nullif(sqrt(center_line * (1 - center_line) / events), 0) as z
    from days
    where not is_partial_day and events > 0
),

ranges as (
    select *, abs(z - lag(z) over (order by event_date)) as moving_range from whole_days
),

variation as (
    select
        max(center_line) as center_line,
        greatest(1.0, coalesce(avg(moving_range) / 1.1283791670955126, 1.0)) as sigma_z
    from ranges
),

limits as (
    select
        days.*,
        center_line,
        violation_events / nullif(events, 0) as violation_rate,
        3 * sigma_z * sqrt(center_line * (1 - center_line) / nullif(events::double, 0)) as margin
    from days
    cross join variation
)

select
    event_date,
    violation_rate,
    case
        when row_number() over (order by event_date) >= 7
            then sum(violation_events) over last_7_days / nullif(sum(events) over last_7_days, 0)
    end as violation_rate_7_days,
    center_line,
    case when margin is not null then greatest(0.0, center_line - margin) end as control_limit_low,
    case when margin is not null then least(1.0, center_line + margin) end as control_limit_high,
    case
        when not is_partial_day and events > 0
            then abs(violation_rate - center_line) > margin
    end as is_out_of_control
from limits
window last_7_days as (order by event_date rows 6 preceding);

-- Weighted least squares through the points of a table.
create temp macro line_through(points) as table
with centered as (
    select
        *,
        x - sum(weight * x) over () / sum(weight) over () as x_from_mean,
        y - sum(weight * y) over () / sum(weight) over () as y_from_mean,
        weight / sum(weight) over () as share
    from query_table(points)
)

select
    * exclude (x_from_mean, y_from_mean, share),
    sum(weight * x_from_mean * x_from_mean) over () as variation,
    sum(weight * x_from_mean * y_from_mean) over () / nullif(variation, 0) as slope,
    y_from_mean - slope * x_from_mean as residual,
    share + weight * x_from_mean * x_from_mean / nullif(variation, 0) as leverage
from centered;

create temp table whole_days as
select
    event_date,
    events,
    violation_events,
    (event_date - min(event_date) over ()) / 7 as x,
    violation_rate as y,
    events::double as weight,
    is_out_of_control,
    greatest(control_limit_high - center_line, center_line - control_limit_low) as margin
from days
inner join marts.violation_control_chart using (event_date)
where is_out_of_control is not null;

-- Days out of control are set aside if the line through the others leads elsewhere.
create temp table judged_days as
select
    event_date,
    events,
    violation_events,
    x,
    y,
    weight,
    coalesce(is_out_of_control and abs(residual) > (1 - leverage) * margin, false) as is_set_aside
from line_through('whole_days');

create temp table days_of_trend as from judged_days where not is_set_aside;

-- The days' own variance over that of an event (DerSimonian and Laird, 1986).
create temp table spread as
with totals as (
    select
        count(*) as days,
        coalesce(sum(events), 0)::bigint as events,
        coalesce(sum(violation_events), 0)::bigint as violation_events,
        max(x) - min(x) as weeks,
        case when count(*) > 2 then count(*) - 2 end as freedom,
        sum(weight * residual * residual) as squares,
        sum(weight * (1 - leverage)) as free_events
    from line_through('days_of_trend')
)

select
    totals.*,
    violation_events / nullif(events, 0) as rate,
    coalesce(design_effect, 1) * rate * (1 - rate) as event_variance,
    greatest(
        0.0, coalesce((squares / nullif(event_variance, 0) - freedom) / nullif(free_events, 0), 0.0)
    ) as relative_day_variance
from totals
left join marts.violation_associations on dimension = 'event_date';

create temp table weighted_days as
select x, y, weight / (1 + weight * relative_day_variance) as weight
from days_of_trend
cross join spread;

-- Meta-regression over the days (Knapp and Hartung, 2003).
create table marts.violation_trend as
with constants as (
    select
        count(*) + 1 as tests,
        getvariable('alpha') as alpha,
        getvariable('minimum_effect_percentage_points') / 100.0 as least_effect
    from tested_dimensions
),

fitted as (
    select
        any_value(slope) as slope,
        any_value(variation) as variation,
        sum(weight * residual * residual) as weighted_squares
    from line_through('weighted_days')
),

tested as (
    select
        spread.*,
        case when freedom > 0 then slope end as change_per_week,
        sqrt(greatest(event_variance, weighted_squares / freedom) / nullif(variation, 0)) as error,
        student_p(abs(change_per_week / nullif(error, 0)), freedom) as p_value,
        student_t(1 - getvariable('confidence_level'), freedom) * error as half_width,
        student_t(alpha / tests, freedom) * error * (1 + 1 / (2 * sqrt(pi() * freedom)))
            as critical_change,
        sign(getvariable('power') - 0.5)
        * student_t(2 * least(getvariable('power'), 1 - getvariable('power')), freedom) * error
            as power_change
    from spread
    cross join fitted
    cross join constants
)

select
    days,
    events,
    (select count_if(is_set_aside)::bigint from judged_days) as days_set_aside,
    (
        select string_agg(event_date, ',' order by event_date) from judged_days where is_set_aside
    ) as dates_set_aside,
    change_per_week,
    change_per_week - half_width as change_per_week_low,
    change_per_week + half_width as change_per_week_high,
    change_per_week * weeks as change_over_period,
    case
        when error > 0 then greatest(critical_change, least_effect / weeks) + power_change
    end as detectable_change,
    p_value,
    case when p_value is not null then least(1.0, tests * p_value) end as p_adjusted,
    case
        when
            days < 3
            or least(violation_events, events - violation_events)
            < getvariable('minimum_expected_violations')
            or p_value is null
            then 'too_few'
        when tests * p_value < alpha and abs(change_over_period) >= least_effect then 'differs'
        else 'no_evidence'
    end as verdict
from tested
cross join constants;

-- Deviations of the durations and of their ranks, with ties at their average, by distinct value.
create temp table duration_deviations as
with counts as (
    select session_duration_minutes, count(*) as copies
    from marts.fct_compliance_events
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
from marts.fct_compliance_events
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

create table marts.metric_correlations as
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

select
    *,
    correlation_p(pearson, events) as p_value,
    correlation_p(spearman, events) as spearman_p_value
from coefficients;

-- --- breakdowns ----------------------------------------------------------------------------------

create temp view known_regions as select region as member, display_order from regions;
create temp view known_regulations as select regulation as member, display_order from regulations;
create temp view known_combinations as
select
    regions.region || ' / ' || regulations.regulation as member,
    regions.region,
    regulations.regulation
from regions
cross join regulations;
create temp view known_event_types as select event_type as member, display_order from event_types;
create temp view known_sharing_levels as
select data_shared as member, display_order from data_sharing_levels;
create temp view known_hours as
select hour::varchar as member, hour::integer as event_hour from range(24) as hours (hour);
create temp view known_numbers_of_streams as
select member, member::bigint as concurrent_streams
from members
where dimension = 'concurrent_streams';
create temp view known_dates as select event_date::varchar as member, * from days;

-- All known members, with zeros where nothing happened.
create temp macro breakdown(name, known_members) as table
select
    known.*,
    {
        events: coalesce(counts.events, 0),
        compliant_events: coalesce(counts.compliant_events, 0),
        warning_events: coalesce(counts.warning_events, 0),
        violation_events: coalesce(counts.violation_events, 0),
        users: coalesce(counts.users, 0),
        event_share: coalesce(counts.events, 0) / nullif(sum(counts.events) over (), 0),
        compliant_rate: counts.compliant_events / counts.events,
        warning_rate: counts.warning_events / counts.events,
        violation_rate: counts.violation_events / counts.events
    } as measures,
    {
        violation_rate_low: tests.violation_rate_low,
        violation_rate_high: tests.violation_rate_high,
        rate_difference: tests.rate_difference,
        detectable_difference: tests.detectable_difference,
        p_value: tests.p_value,
        p_adjusted: tests.p_adjusted
    } as statistics,
    coalesce(tests.verdict, 'too_few') as verdict
from query_table(known_members) as known
left join members as counts on counts.dimension = name and known.member = counts.member
left join marts.violation_tests as tests
    on tests.dimension = name and known.member = tests.member;

create table marts.compliance_by_region as
select
    member as region,
    unnest(measures),
    unnest(statistics),
    verdict,
    display_order::integer as display_order
from breakdown('region', 'known_regions');

create table marts.compliance_by_regulation as
select
    member as regulation,
    unnest(measures),
    unnest(statistics),
    verdict,
    display_order::integer as display_order
from breakdown('regulation', 'known_regulations');

create table marts.compliance_by_region_and_regulation as
select region, regulation, unnest(measures), unnest(statistics), verdict
from breakdown('region_and_regulation', 'known_combinations');

create table marts.compliance_by_event_type as
select
    member as event_type,
    unnest(measures),
    unnest(statistics),
    verdict,
    display_order::integer as display_order
from breakdown('event_type', 'known_event_types');

create table marts.compliance_by_data_sharing as
select
    member as data_shared,
    unnest(measures),
    unnest(statistics),
    verdict,
    display_order::integer as display_order
from breakdown('data_shared', 'known_sharing_levels');

create table marts.compliance_by_hour as
select event_hour, unnest(measures), unnest(statistics), verdict
from breakdown('event_hour', 'known_hours');

create table marts.compliance_by_concurrent_streams as
select concurrent_streams, unnest(measures), unnest(statistics), verdict
from breakdown('concurrent_streams', 'known_numbers_of_streams');

create table marts.compliance_by_date as
select
    event_date,
    unnest(measures),
    unnest(statistics),
    case when is_partial_day then 'too_few' else verdict end as verdict,
    is_partial_day,
    chart.violation_rate_7_days,
    chart.control_limit_low,
    chart.control_limit_high,
    chart.is_out_of_control
from breakdown('event_date', 'known_dates')
inner join (
    select * exclude (violation_rate) from marts.violation_control_chart
) as chart using (event_date);

create table marts.compliance_by_status as
with totals as (
    select
        sum(events) as events,
        unnest([
            {
                status: 'compliant',
                events: sum(events - warning_events - violation_events)::bigint,
                users: count_if(events > warning_events + violation_events)::bigint
            },
            {
                status: 'warning',
                events: sum(warning_events)::bigint,
                users: count_if(warning_events > 0)::bigint
            },
            {
                status: 'violation',
                events: sum(violation_events)::bigint,
                users: count_if(violation_events > 0)::bigint
            }
        ]) as counts
    from marts.dim_users
)

select
    status,
    coalesce(counts.events, 0) as events,
    coalesce(counts.users, 0) as users,
    coalesce(counts.events, 0) / nullif(totals.events, 0) as event_share,
    display_order::integer as display_order,
    color
from statuses
left join totals on statuses.status = totals.counts.status;

create table marts.compliance_by_user_risk_tier as
with counts as (
    select
        risk_tier,
        sum(events)::bigint as events,
        sum(events - warning_events - violation_events)::bigint as compliant_events,
        sum(warning_events)::bigint as warning_events,
        sum(violation_events)::bigint as violation_events,
        count(*) as users
    from marts.dim_users
    group by risk_tier
)

select
    risk_tier,
    coalesce(counts.events, 0) as events,
    coalesce(counts.compliant_events, 0) as compliant_events,
    coalesce(counts.warning_events, 0) as warning_events,
    coalesce(counts.violation_events, 0) as violation_events,
    coalesce(counts.users, 0) as users,
    coalesce(counts.events, 0) / nullif(sum(counts.events) over (), 0) as event_share,
    counts.compliant_events / counts.events as compliant_rate,
    counts.warning_events / counts.events as warning_rate,
    counts.violation_events / counts.events as violation_rate,
    wilson_low(counts.violation_events, counts.events) as violation_rate_low,
    wilson_high(counts.violation_events, counts.events) as violation_rate_high,
    -- Tiers are made from the very violations that a test would compare.
    null::double as rate_difference,
    null::double as detectable_difference,
    null::double as p_value,
    null::double as p_adjusted,
    null::varchar as verdict,
    display_order::integer as display_order
from risk_tiers
left join counts using (risk_tier);

-- --- distributions -------------------------------------------------------------------------------

create table marts.session_duration_statistics as
with described as (
    select
        count(*) as events,
        avg(session_duration_minutes) as mean_minutes,
        stddev_samp(session_duration_minutes) as stddev_minutes,
        min(session_duration_minutes) as min_minutes,
        max(session_duration_minutes) as max_minutes,
        quantile_cont(session_duration_minutes, [0.25, 0.5, 0.75]) as quartiles
    from marts.fct_compliance_events
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

-- Equally wide bins, closed on the left, the last one on both sides. `counted` holds distinct values
-- with their copies.
create temp macro histogram(counted, bins) as table
with extent as (
    select
        min(metric_value) - case when min(metric_value) = max(metric_value) then 0.5 else 0 end
            as low,
        max(metric_value) + case when min(metric_value) = max(metric_value) then 0.5 else 0 end
            as high
    from query_table(counted)
),

edges as (
    select
        bin::integer as bin_number,
        low + (bin - 1) * ((high - low) / bins) as bin_start,
        case when bin = bins then high else low + bin * ((high - low) / bins) end as bin_end
    from range(1, bins + 1) as series (bin)
    cross join extent
),

-- The last edge that is not above the value.
placed as (
    select
        edges.bin_number,
        sum(counted_values.copies)::bigint as frequency
    from query_table(counted) as counted_values
    asof join edges on counted_values.metric_value >= edges.bin_start
    group by edges.bin_number
)

select
    bin_number,
    bin_start,
    bin_end,
    coalesce(frequency, 0) as frequency
from edges
left join placed using (bin_number);

create temp table session_durations as
select session_duration_minutes as metric_value, copies from duration_deviations;
create temp table user_ages as
select user_age::double as metric_value, count(*) as copies from marts.dim_users group by all;
create temp table user_violation_rates as
select violation_rate as metric_value, count(*) as copies from marts.dim_users group by all;

create table marts.session_duration_histogram as
from histogram('session_durations', getvariable('session_duration_bins'));
create table marts.user_age_histogram as
from histogram('user_ages', getvariable('user_age_bins'));
create table marts.user_violation_rate_histogram as
from histogram('user_violation_rates', getvariable('user_violation_rate_bins'));

-- --- summary and sentences -----------------------------------------------------------------------

create table marts.compliance_summary as
with totals as (
    select
        count(*) as total_events,
        min(event_date)::varchar as first_event_date,
        max(event_date)::varchar as last_event_date,
        avg(concurrent_streams) as average_concurrent_streams,
        quantile_cont(user_age, 0.5) as median_user_age
    from marts.fct_compliance_events
),

by_status as (
    select map(list(status), list(events)) as events, map(list(status), list(event_share)) as share
    from marts.compliance_by_status
),

figures as (
    select unnest([
        {metric: 'total_events', number: total_events::double, text: null::varchar},
        {metric: 'unique_users', number: (select count(*) from marts.dim_users), text: null},
        {metric: 'first_event_date', number: null, text: first_event_date},
        {metric: 'last_event_date', number: null, text: last_event_date},
        {
            metric: 'regions_covered', number: null,
            text: (
                select string_agg(region, ',' order by region)
                from marts.compliance_by_region where events > 0
            )
        },
        {
            metric: 'regulations_tracked', number: null,
            text: (
                select string_agg(regulation, ',' order by regulation)
                from marts.compliance_by_regulation where events > 0
            )
        },
        {metric: 'compliant_events', number: by_status.events['compliant'], text: null},
        {metric: 'compliant_rate', number: by_status.share['compliant'], text: null},
        {metric: 'warning_events', number: by_status.events['warning'], text: null},
        {metric: 'warning_rate', number: by_status.share['warning'], text: null},
        {metric: 'violation_events', number: by_status.events['violation'], text: null},
        {metric: 'violation_rate', number: by_status.share['violation'], text: null},
        {
            metric: 'average_session_duration_minutes',
            number: (select mean_minutes from marts.session_duration_statistics), text: null
        },
        {metric: 'average_concurrent_streams', number: average_concurrent_streams, text: null},
        {metric: 'median_user_age', number: median_user_age, text: null},
        {
            metric: 'high_risk_users', text: null,
            number: (
                select users from marts.compliance_by_user_risk_tier where risk_tier = 'high'
            )
        },
        {
            metric: 'peak_traffic_hour', text: null,
            number: (
                select event_hour from marts.compliance_by_hour where events > 0
                order by events desc, event_hour limit 1
            )
        },
        {
            metric: 'peak_traffic_hour_events', text: null,
            number: (select max(events) from marts.compliance_by_hour)
        },
        {
            metric: 'highest_violation_hour', text: null,
            number: (
                select event_hour from marts.compliance_by_hour where events > 0
                order by violation_rate desc, event_hour limit 1
            )
        },
        {
            metric: 'highest_violation_hour_rate', text: null,
            number: (select max(violation_rate) from marts.compliance_by_hour)
        },
        {
            metric: 'highest_violation_region', number: null,
            text: (
                select region from marts.compliance_by_region where events > 0
                order by violation_rate desc, region limit 1
            )
        },
        {
            metric: 'best_compliance_region', number: null,
            text: (
                select region from marts.compliance_by_region where events > 0
                order by compliant_rate desc, region limit 1
            )
        },
        {
            metric: 'highest_violation_regulation', number: null,
            text: (
                select regulation from marts.compliance_by_regulation where events > 0
                order by violation_rate desc, regulation limit 1
            )
        },
        {
            metric: 'highest_violation_regulation_rate', text: null,
            number: (select max(violation_rate) from marts.compliance_by_regulation)
        },
        {
            metric: 'highest_violation_data_sharing', number: null,
            text: (
                select data_shared from marts.compliance_by_data_sharing where events > 0
                order by violation_rate desc, data_shared limit 1
            )
        },
        {
            metric: 'full_minus_none_sharing_rate', text: null,
            number: (
                select
                    max(violation_rate) filter (where data_shared = 'full')
                    - max(violation_rate) filter (where data_shared = 'none')
                from marts.compliance_by_data_sharing
            )
        },
        {
            metric: 'most_common_event_type', number: null,
            text: (
                select event_type from marts.compliance_by_event_type where events > 0
                order by events desc, event_type limit 1
            )
        },
        {
            metric: 'most_common_event_type_events', text: null,
            number: (select max(events) from marts.compliance_by_event_type)
        },
        {metric: 'raw_rows', number: input_rows.raw_rows, text: null},
        {metric: 'accepted_rows', number: input_rows.accepted_rows, text: null},
        {metric: 'quarantined_rows', number: input_rows.quarantined_rows, text: null},
        {metric: 'exact_copies_dropped', number: input_rows.exact_copies_dropped, text: null},
        {metric: 'quarantined_share', number: input_rows.quarantined_share, text: null}
    ], recursive := true)
    from totals
    cross join by_status
    cross join input_rows
)

select
    section,
    metric,
    display_order::integer as display_order,
    figures.number as value_number,
    figures.text as value_text,
    unit,
    description
from summary_metrics
left join figures using (metric)
where metric <> 'violation_rate_of_region'
union all
select
    metrics.section,
    'violation_rate_' || lower(by_region.region),
    (metrics.display_order + by_region.display_order)::integer,
    by_region.violation_rate,
    null,
    metrics.unit,
    metrics.description
from summary_metrics as metrics
cross join marts.compliance_by_region as by_region
where metrics.metric = 'violation_rate_of_region';

create table marts.key_findings as
with extremes as (
    select
        dimension,
        arg_min(tests, (-violation_rate, -events, member)) as highest,
        arg_min(tests, (violation_rate, -events, member)) as lowest,
        count(*) as members,
        rarer_kind(sum(violation_events) / sum(events)) as rarer_kind,
        min(detectable_difference) as smallest,
        max(detectable_difference) as largest
    from marts.violation_tests as tests
    group by dimension
),

about_dimensions as (
    select
        10 * display_order as display_order,
        dimension as topic,
        case
            when verdict = 'differs' then 'The violation rate differs between ' || plural
            when extremes.members = 1 then 'There are too few ' || plural || ' to compare'
            when verdict = 'too_few'
                then 'There are too few ' || rarer_kind || ' to compare ' || plural
            else 'The data shows no evidence that the violation rate differs between ' || plural
        end
        || ': the highest observed is ' || highest.member || ' with '
        || rate_with_interval(
            highest.violation_rate, highest.violation_rate_low, highest.violation_rate_high,
            highest.events
        )
        || ', the lowest ' || lowest.member || ' with '
        || rate_with_interval(
            lowest.violation_rate, lowest.violation_rate_low, lowest.violation_rate_high,
            lowest.events
        )
        || coalesce(
            case
                when verdict = 'no_evidence'
                    then '; with ' || percent_of(getvariable('power')) || ' power a difference of '
                        || points(smallest) || ' or more would have been seen in the largest '
                        || singular || ' and of ' || points(largest) || ' in the smallest'
            end,
            ''
        )
        || '.' as finding,
        verdict,
        highest.violation_rate - lowest.violation_rate as effect,
        p_adjusted
    from tested_dimensions
    inner join marts.violation_associations using (dimension)
    inner join extremes using (dimension)
),

about_members as (
    select
        10 * display_order + 1 as display_order,
        dimension as topic,
        'The violation rate of ' || singular || ' ' || member || ' is '
        || rate_with_interval(violation_rate, violation_rate_low, violation_rate_high, events)
        || coalesce(
            ', ' || points(abs(rate_difference))
            || case when rate_difference < 0 then ' below' else ' above' end
            || ' that of all other events',
            ''
        )
        || case verdict
            when 'differs' then ', more than chance explains'
            when 'too_few' then '; too few ' || rarer_kind || ' are expected to judge this'
            else coalesce(
                '; this is no evidence of a difference (with ' || percent_of(getvariable('power'))
                || ' power one of ' || points(detectable_difference) || ' would have been seen)',
                '; this is no evidence of a difference'
            )
        end
        || '.' as finding,
        verdict,
        rate_difference as effect,
        p_adjusted
    from marts.violation_tests
    inner join tested_dimensions using (dimension)
    inner join extremes using (dimension)
    where verdict = 'differs' or dimension = 'data_shared'
),

about_the_trend as (
    select
        100 as display_order,
        'trend' as topic,
        case
            when days < 3
                then 'There are too few whole days to see a trend of the violation rate'
            when verdict = 'too_few'
                then 'There are too few ' || rarer_kind(center_line)
                    || ' to see a trend of the violation rate'
            else
                case
                    when verdict <> 'differs'
                        then 'The data shows no evidence of a trend of the violation rate over time'
                    when change_per_week < 0 then 'The violation rate falls over time'
                    else 'The violation rate rises over time'
                end
                || ': over ' || days || ' whole days it changed by '
                || case when change_per_week > 0 then '+' else '' end
                || points(change_per_week) || ' a week ('
                || percent_of(getvariable('confidence_level')) || ' interval '
                || points(change_per_week_low) || ' to ' || points(change_per_week_high)
                || ', n = ' || events || ')'
                || case
                    when verdict = 'differs' then ''
                    else '; with ' || percent_of(getvariable('power')) || ' power a change of '
                        || points(detectable_change) || ' a week would have been seen'
                end
                || '; ' || days_out_of_control || ' of the days lie outside the control limits'
        end
        || coalesce(
            '; set aside, because no trend explains them: '
            || replace(dates_set_aside, ',', ', '),
            ''
        )
        || '.' as finding,
        verdict,
        change_per_week as effect,
        p_adjusted
    from marts.violation_trend
    cross join (
        select
            count_if(is_out_of_control)::bigint as days_out_of_control,
            any_value(center_line) as center_line
        from marts.violation_control_chart
    ) as chart
),

user_counts as (
    select
        count(*) as users,
        count_if(risk_evidence = 'confirmed')::bigint as confirmed,
        count_if(risk_evidence = 'too_few_events')::bigint as too_few,
        count_if(risk_tier = 'high')::bigint as high,
        max(shrunk_violation_rate) filter (where risk_evidence = 'confirmed') as effect,
        min(p_adjusted) as p_adjusted
    from marts.dim_users
),

about_users as (
    select
        110 as display_order,
        'high_risk_users' as topic,
        case
            when confirmed > 0
                then confirmed || ' of ' || users
                    || ' users have more violations than chance explains'
            else 'The data shows no evidence that any of ' || users
                || ' users has more violations than chance explains'
        end
        || '; ' || high || ' are in the risk tier high by their observed rate alone, and '
        || too_few || ' have so few events that no outcome could tell.' as finding,
        case
            when confirmed > 0 then 'differs'
            when too_few = users then 'too_few'
            else 'no_evidence'
        end as verdict,
        effect,
        p_adjusted
    from user_counts
),

about_the_input as (
    select
        120 as display_order,
        'input_quality' as topic,
        percent(coalesce(quarantined_share, 0)) || ' of the raw rows are quarantined ('
        || quarantined_rows || ' of ' || raw_rows || '), and ' || exact_copies_dropped
        || ' exact copies were dropped; every figure speaks for the other ' || accepted_rows || '.'
            as finding,
        null as verdict,
        quarantined_share as effect,
        null as p_adjusted
    from input_rows
),

findings as (
    from about_dimensions
    union all
    from about_members
    union all
    from about_the_trend
    union all
    from about_users
    union all
    from about_the_input
)

select
    (row_number() over (order by display_order, abs(effect) desc nulls last, finding))::integer
        as display_order,
    topic,
    finding,
    verdict,
    effect,
    p_adjusted
from findings;
