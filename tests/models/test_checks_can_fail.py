"""The dbt tests notice damage: tables are damaged one by one and their tests must fail."""

import json
import re

import duckdb
import pytest
from conftest import copy_to_damage

# Statements that damage tables, each below the checks that notice.
DAMAGE = re.findall(
    r"((?:--.*\n)+)((?:(?!--).+\n)+)",
    """\
-- int_source_days_are_there
delete from intermediate.int_source_days;
-- every_row_of_the_source_is_read, every_raw_row_is_accounted_for
update intermediate.int_input_rows set raw_rows = raw_rows - 1;
-- every_raw_row_is_accounted_for, compliance_by_region_adds_up
delete from marts.fct_compliance_events where event_id = 17;
-- fct_compliance_events_primary_key, every_raw_row_is_accounted_for
insert into marts.fct_compliance_events select * from marts.fct_compliance_events where event_id =
    17;
-- accepted_events_break_no_rule
update marts.fct_compliance_events set status = null where event_id = 17;
-- accepted_events_break_no_rule, compliance_by_date_has_all_days
update marts.fct_compliance_events set occurred_at = '2027-01-01', event_date = '2027-01-01',
    event_hour = 0 where event_id = 17;
-- accepted_events_break_no_rule
update marts.fct_compliance_events set concurrent_streams = 101 where event_id = 17;
-- fct_compliance_events_regions_are_known, fct_compliance_events_regulations_are_known,
-- fct_compliance_events_event_types_are_known, fct_compliance_events_statuses_are_known,
-- fct_compliance_events_data_sharing_levels_are_known
update marts.fct_compliance_events set region = 'MOON', regulation = 'MOON', event_type = 'moon',
    status = 'moon', data_shared = 'moon' where event_id = 17;
-- quarantined_compliance_events_have_a_reason, every_raw_row_is_accounted_for
insert into marts.quarantined_compliance_events (event_id) values ('x');
-- quarantine_by_rejection_reason_counts_every_reason
insert into marts.quarantined_compliance_events (rejection_reasons) values
    ('event_id_missing,region_on_the_moon');
-- quarantine_by_rejection_reason_has_all_reasons, outcome_associations_has_all_dimensions
delete from marts.rejection_reasons where rejection_reason = 'region_unknown';
delete from marts.dimensions where dimension = 'event_hour';
-- rejection_reasons_say_what_to_do
update marts.rejection_reasons set hint = null where rejection_reason = 'region_unknown';
-- compliance_by_member_adds_up
delete from marts.compliance_by_member where dimension = 'concurrent_streams';
-- int_input_rows_has_one_row, int_value_counts_count_the_events_of_the_fact_for_each_metric,
-- outcome_tests_count_all_events_in_each_dimension, violation_trend_has_one_row,
-- top_risk_users_are_as_many_as_asked_for, metric_correlations_has_all_pairs
delete from intermediate.int_input_rows;
delete from intermediate.int_value_counts where metric = 'user_age' and metric_value = 30;
delete from marts.outcome_tests where member = 'AFRICA';
delete from marts.violation_trend;
delete from marts.top_risk_users;
delete from marts.metric_correlations where metric_x = 'user_age';
-- every_raw_row_is_accounted_for, metric_correlations_are_possible,
-- user_violation_rate_histogram_is_complete, compliance_summary_has_all_metrics
update intermediate.int_input_rows set exact_copies_dropped = null;
update marts.metric_correlations set pearson = null;
update marts.user_violation_rate_histogram set bin_start = null where frequency = 0;
update marts.compliance_summary set value_number = null where metric = 'violation_rate';
-- int_value_counts_count_the_events_of_the_fact_for_each_metric,
-- outcome_associations_are_possible, violation_trend_is_possible, top_risk_users_are_users
update intermediate.int_value_counts set events_of_metric = events_of_metric - 1;
update marts.outcome_associations set members = members + 1;
update marts.violation_trend set verdict = 'differs';
update marts.top_risk_users set user_id = -1 where risk_rank = 1;
-- regions_differ_by_more_than_case, regulations_differ_by_more_than_case,
-- event_types_differ_by_more_than_case, data_sharing_levels_differ_by_more_than_case
insert into raw.regions select * replace (lower(region) as region) from raw.regions;
insert into raw.regulations select * replace (lower(regulation) as regulation) from raw.regulations;
insert into raw.event_types select * replace (upper(event_type) as event_type) from raw.event_types;
insert into raw.data_sharing_levels select * replace (upper(data_shared) as data_shared)
    from raw.data_sharing_levels;
-- event_attributes_has_every_event_in_each_dimension, members_keep_their_rows
insert into marts.event_attributes values (17, 'device', 'tv', 'tv');
insert into intermediate.int_quarantined_members values ('region', 'EU', 1, 1, 0.5);
-- compliance_by_concurrent_streams_counts_each_number_once
insert into marts.compliance_by_concurrent_streams from marts.compliance_by_concurrent_streams;
-- int_checked_events_have_one_fingerprint_a_day
update marts.int_checked_events set fingerprint = 1 where event_id = 17;
-- compliance_by_member_has_all_members, compliance_by_member_adds_up,
-- compliance_by_regulation_has_all_members, compliance_by_event_type_has_all_members,
-- compliance_by_data_sharing_has_all_members, compliance_by_user_risk_tier_has_all_members
delete from marts.compliance_by_regulation where regulation = 'GDPR';
delete from marts.compliance_by_event_type where event_type = 'login';
delete from marts.compliance_by_data_sharing where data_shared = 'full';
delete from marts.compliance_by_user_risk_tier where risk_tier = 'high';
delete from marts.compliance_by_member where dimension = 'region' and member = 'EU';
-- compliance_by_region_and_regulation_adds_up, compliance_by_date_adds_up,
-- compliance_by_concurrent_streams_adds_up, compliance_by_user_risk_tier_adds_up
update marts.compliance_by_region_and_regulation set warning_events = null;
update marts.compliance_by_date set users = null;
update marts.compliance_by_concurrent_streams set event_share = null;
update marts.compliance_by_user_risk_tier set events = null;
-- compliance_by_region_has_all_members, compliance_by_region_adds_up
delete from marts.compliance_by_region where region = 'EU';
-- compliance_by_status_has_all_members
delete from marts.compliance_by_status where status = 'warning';
-- compliance_by_weekday_has_all_members, compliance_by_age_band_has_all_bands
delete from marts.compliance_by_weekday where weekday = 'Friday';
delete from marts.compliance_by_age_band where age_band = 'under 13';
-- compliance_by_weekday_adds_up, compliance_by_age_band_adds_up
update marts.compliance_by_weekday set events = null;
update marts.compliance_by_age_band set users = events + 1;
-- compliance_by_hour_has_all_hours
delete from marts.compliance_by_hour where event_hour = 3;
-- compliance_by_region_and_regulation_has_all_members
delete from marts.compliance_by_region_and_regulation where region = 'EU' and regulation = 'GDPR';
-- compliance_by_data_sharing_adds_up
update marts.compliance_by_data_sharing set warning_events = warning_events + 1;
-- compliance_by_regulation_adds_up
update marts.compliance_by_regulation set violation_rate = 100 * violation_rate;
-- compliance_by_event_type_adds_up
update marts.compliance_by_event_type set event_share = 2 * event_share;
-- dim_users_events_are_those_of_the_fact, user_age_histogram_is_complete
delete from marts.dim_users where user_id = (select min(user_id) from marts.dim_users);
-- dim_users_values_are_possible
update marts.dim_users set violation_rate = 1.5 where violation_rate = 1;
-- session_duration_histogram_is_complete
delete from marts.session_duration_histogram where bin_number = 50;
-- user_age_histogram_is_complete
update marts.user_age_histogram set frequency = frequency + case bin_number when 1 then 1 when 2
    then -1 else 0 end;
-- user_age_histogram_is_complete
update marts.user_age_histogram set bin_start = bin_start - 0.5 where bin_number = 1;
-- compliance_summary_has_all_metrics
update marts.compliance_summary set verdict = null where metric = 'highest_violation_region';
-- compliance_summary_has_all_metrics
delete from marts.compliance_summary where metric = 'total_events';
-- session_duration_statistics_are_in_order
update marts.session_duration_statistics set median_minutes = 0;
-- compliance_by_status_adds_up
update marts.compliance_by_status set events = events + 100;
-- compliance_by_hour_has_all_hours, compliance_by_hour_adds_up
delete from marts.compliance_by_hour;
-- session_duration_statistics_are_in_order
delete from marts.session_duration_statistics;
-- compliance_summary_has_all_metrics
update marts.compliance_summary set value_number = null, value_text = null;
-- compliance_by_date_has_all_days
update marts.compliance_by_date set is_partial_day = null;
-- dim_users_values_are_possible
update marts.dim_users set risk_tier = 'low';
-- dim_users_events_are_those_of_the_fact
update marts.dim_users set first_event_at = '1970-01-01';
-- outcome_tests_are_possible
update marts.outcome_tests set verdict = 'differs' where member = 'AFRICA';
-- outcome_associations_has_all_dimensions
delete from marts.outcome_associations where dimension = 'region';
-- outcome_tests_are_possible
update marts.outcome_tests set outcome_rate_low = outcome_rate_high;
-- dim_users_evidence_is_possible
update marts.dim_users set risk_evidence = 'confirmed';
-- key_findings_cover_all_topics
delete from marts.key_findings where topic = 'trend';
-- key_findings_are_sentences
update marts.key_findings set finding = 'Regions differ.' where topic = 'region';
-- violation_control_chart_limits_are_possible
update marts.violation_control_chart set is_out_of_control = true where is_out_of_control = false;
-- statuses_are_those_the_breakdowns_count, compliance_by_status_has_all_members
insert into raw.statuses values ('unknown', 4, '#000000', 'x');
""",
)


# They stop a build themselves, and test_dirty_events.py holds them.
STOPPING = {"quarantined_share_is_acceptable"}


@pytest.fixture(scope="module")
def checks(built_project) -> dict[str, str]:
    """The SQL of each check as it ran, which finds the rows that are wrong."""
    manifest = json.loads((built_project.root / "target" / "manifest.json").read_text())
    return {
        node["name"]: node["compiled_code"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
    }


@pytest.mark.parametrize(("noticing", "damage"), DAMAGE)
def test_damage_is_noticed(work, checks, noticing, damage):
    with duckdb.connect(work) as connection:
        connection.execute(damage)
        for check in re.findall(r"\w+", noticing):
            assert connection.execute(checks[check]).fetchmany(1), check


def test_rows_that_stand_twice_are_noticed_everywhere(built_project, new_project, checks):
    """By dbt itself, which counts what the SQL of a check finds."""
    project = new_project("damaged")
    with duckdb.connect(copy_to_damage(built_project, project.root)) as connection:
        # These are empty on the seed.
        connection.execute("insert into marts.event_attributes values (17, 'device', 'tv', 'tv')")
        connection.execute("insert into intermediate.int_further_members values ('d', 'v', 'm', 1)")
        connection.execute(
            "insert into intermediate.int_quarantined_members values ('region', 'EU', 1, 1, 0.5)"
        )
        connection.execute(
            "insert into intermediate.unusual_days values ('set aside', 1, 'today', 'today', 0.1)"
        )
        connection.execute(
            "insert into intermediate.member_sentences (dimension, member, outcome)"
            " values ('region', 'EU', 'violation')"
        )
        for (table,) in connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
        ).fetchall():
            connection.execute(f"insert into {table} from {table}")
    output = project.dbt("test", "--select", "test_name:primary_key").stdout
    keys = {check for check in checks if check.endswith("_primary_key")}
    assert {*re.findall(r" FAIL \d+ (\w+) ", output)} == keys


def test_every_check_is_shown_to_notice_damage(checks):
    noticing, _ = zip(*DAMAGE, strict=True)
    shown = {*re.findall(r"\w+", "".join(noticing))} | STOPPING
    assert checks.keys() == shown | {check for check in checks if check.endswith("_primary_key")}


def test_undamaged_tables_pass(work, checks):
    with duckdb.connect(work) as connection:
        wrong = [
            name
            for name in checks.keys() - STOPPING
            if connection.execute(checks[name]).fetchmany(1)
        ]
    assert wrong == []
