"""The dbt tests notice damage: tables are damaged one by one and their tests must fail."""

import re

import duckdb
import pytest
from conftest import copy_to_damage

DAMAGE = {
    "the source is empty": (
        "delete from intermediate.int_source_days",
        ["int_source_days_are_there"],
    ),
    "an event is lost": (
        "delete from marts.fct_compliance_events where event_id = 17",
        ["every_raw_row_is_accounted_for", "compliance_by_region_adds_up"],
    ),
    "an event is counted twice": (
        "insert into marts.fct_compliance_events"
        " select * from marts.fct_compliance_events where event_id = 17",
        ["fct_compliance_events_primary_key", "every_raw_row_is_accounted_for"],
    ),
    "an event has no user": (
        "update marts.fct_compliance_events set user_id = null where event_id = 17",
        ["accepted_events_break_no_rule"],
    ),
    "an event lies in the future": (
        "update marts.fct_compliance_events set occurred_at = '2027-01-01', "
        "event_date = '2027-01-01', event_hour = 0 where event_id = 17",
        ["accepted_events_break_no_rule", "compliance_by_date_has_all_days"],
    ),
    "an event has an unknown region": (
        "update marts.fct_compliance_events set region = 'MOON' where event_id = 17",
        ["fct_compliance_events_regions_are_known"],
    ),
    "a quarantined row has no reason": (
        "insert into marts.quarantined_compliance_events (event_id) values ('x')",
        ["quarantined_compliance_events_have_a_reason", "every_raw_row_is_accounted_for"],
    ),
    "a region is missing": (
        "delete from marts.compliance_by_region where region = 'EU'",
        ["compliance_by_region_has_all_members", "compliance_by_region_adds_up"],
    ),
    "a status is missing": (
        "delete from marts.compliance_by_status where status = 'warning'",
        ["compliance_by_status_has_all_members"],
    ),
    "an hour is missing": (
        "delete from marts.compliance_by_hour where event_hour = 3",
        ["compliance_by_hour_has_all_hours"],
    ),
    "a combination is missing": (
        "delete from marts.compliance_by_region_and_regulation"
        " where region = 'EU' and regulation = 'GDPR'",
        ["compliance_by_region_and_regulation_has_all_members"],
    ),
    "statuses do not sum to events": (
        "update marts.compliance_by_data_sharing set warning_events = warning_events + 1",
        ["compliance_by_data_sharing_adds_up"],
    ),
    "a rate is in percent": (
        "update marts.compliance_by_regulation set violation_rate = 100 * violation_rate",
        ["compliance_by_regulation_adds_up"],
    ),
    "shares are doubled": (
        "update marts.compliance_by_event_type set event_share = 2 * event_share",
        ["compliance_by_event_type_adds_up"],
    ),
    "a user is lost": (
        "delete from marts.dim_users where user_id = (select min(user_id) from marts.dim_users)",
        ["dim_users_events_are_those_of_the_fact", "user_age_histogram_is_complete"],
    ),
    "a user has an impossible rate": (
        "update marts.dim_users set violation_rate = 1.5 where violation_rate = 1",
        ["dim_users_values_are_possible"],
    ),
    "a bin is missing": (
        "delete from marts.session_duration_histogram where bin_number = 50",
        ["session_duration_histogram_is_complete"],
    ),
    "a value stands in the wrong bin": (
        "update marts.user_age_histogram set frequency = frequency"
        " + case bin_number when 1 then 1 when 2 then -1 else 0 end",
        ["user_age_histogram_is_complete"],
    ),
    "a metric is missing": (
        "delete from marts.compliance_summary where metric = 'total_events'",
        ["compliance_summary_has_all_metrics"],
    ),
    "quantiles are out of order": (
        "update marts.session_duration_statistics set median_minutes = 0",
        ["session_duration_statistics_are_in_order"],
    ),
    "statuses do not add up": (
        "update marts.compliance_by_status set events = events + 100",
        ["compliance_by_status_adds_up"],
    ),
    "all hours are missing": (
        "delete from marts.compliance_by_hour",
        ["compliance_by_hour_has_all_hours", "compliance_by_hour_adds_up"],
    ),
    "the statistics are missing": (
        "delete from marts.session_duration_statistics",
        ["session_duration_statistics_are_in_order"],
    ),
    "metrics are empty": (
        "update marts.compliance_summary set value_number = null, value_text = null",
        ["compliance_summary_has_all_metrics"],
    ),
    "nobody knows which days are partial": (
        "update marts.compliance_by_date set is_partial_day = null",
        ["compliance_by_date_has_all_days"],
    ),
    "all users are in the lowest tier": (
        "update marts.dim_users set risk_tier = 'low'",
        ["dim_users_values_are_possible"],
    ),
    "users were first seen in 1970": (
        "update marts.dim_users set first_event_at = '1970-01-01'",
        ["dim_users_events_are_those_of_the_fact"],
    ),
    "a difference is claimed without evidence": (
        "update marts.violation_tests set verdict = 'differs' where member = 'AFRICA'",
        ["violation_tests_are_possible"],
    ),
    "a dimension is missing": (
        "delete from marts.violation_associations where dimension = 'region'",
        ["violation_associations_has_all_dimensions"],
    ),
    "an interval does not hold its rate": (
        "update marts.violation_tests set violation_rate_low = violation_rate_high",
        ["violation_tests_are_possible"],
    ),
    "a user is confirmed without evidence": (
        "update marts.dim_users set risk_evidence = 'confirmed'",
        ["dim_users_evidence_is_possible"],
    ),
    "a finding is missing": (
        "delete from marts.key_findings where topic = 'trend'",
        ["key_findings_cover_all_topics"],
    ),
    "a finding claims more than its verdict": (
        "update marts.key_findings set finding = 'Regions differ.' where topic = 'region'",
        ["key_findings_are_sentences"],
    ),
    "a day out of control is missed": (
        "update marts.violation_control_chart set is_out_of_control = true"
        " where is_out_of_control = false",
        ["violation_control_chart_limits_are_possible"],
    ),
    "a status is added": (
        "insert into raw.statuses values ('unknown', 4, '#000000', 'x')",
        ["statuses_are_those_the_breakdowns_count", "compliance_by_status_has_all_members"],
    ),
}


@pytest.fixture(scope="module")
def project(new_project):
    return new_project("damaged")


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_noticed(built_project, project, damage):
    statement, checks = DAMAGE[damage]
    with duckdb.connect(copy_to_damage(built_project, project.root)) as connection:
        connection.sql(statement)
    output = project.dbt("test", "--select", *checks).stdout
    failed = {check for check in checks if re.search(rf" FAIL \d+ {check} ", output)}
    assert failed == set(checks), output
