"""The dirty scenario from end to end: every row is accepted, quarantined or an exact copy."""

import json

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def dirty(new_project):
    """A build of dirty events with a quarantine limit that lets it through, and its truth."""
    project = new_project("dirty")
    project.generate_events("--scenario", "dirty", "--defect-rate", "0.1")
    result = project.build("--vars", "{maximum_quarantined_share: 0.5}")
    assert result.returncode == 0, result.stdout
    truth = json.loads(project.events_file.with_suffix(".truth.json").read_text())
    return project, truth, result.stdout


def test_every_raw_row_is_accepted_quarantined_or_an_exact_copy(dirty):
    project, truth, _ = dirty
    with project.connect() as connection:
        summary = dict(
            connection.sql("select metric, value_number from marts.compliance_summary").fetchall()
        )
        accepted = connection.sql("select count(*) from marts.fct_compliance_events").fetchall()[0][
            0
        ]
        quarantined = connection.sql(
            "select count(*) from marts.quarantined_compliance_events"
        ).fetchall()[0][0]
    assert accepted == summary["accepted_rows"] == truth["accepted"]
    assert quarantined == summary["quarantined_rows"] == truth["quarantined"]
    assert summary["exact_copies_dropped"] == truth["exact_copies_dropped"]
    assert summary["raw_rows"] == truth["rows"]


def test_every_reason_is_given_as_often_as_its_defect_was_injected(dirty):
    project, truth, _ = dirty
    with project.connect() as connection:
        by_reason = dict(
            connection.sql(
                "select rejection_reason, quarantined_rows"
                " from marts.quarantine_by_rejection_reason"
            ).fetchall()
        )
    assert by_reason == truth["rejections"]
    assert all(by_reason.values())


def test_quarantined_rows_are_kept_as_they_came(dirty):
    project, _, _ = dirty
    raw = pd.read_csv(project.events_file, dtype=str, keep_default_na=False)
    with project.connect() as connection:
        kept = connection.sql(
            "select * exclude (rejection_reasons) from marts.quarantined_compliance_events"
        ).df()
    raw_rows = raw.value_counts()
    for row, copies in kept.fillna("").value_counts().items():
        assert raw_rows[row] >= copies


def test_build_warns_below_the_limit(dirty):
    _, truth, output = dirty
    share = truth["quarantined"] / truth["rows"]
    assert f"{100 * share:.2f} % of the raw rows are quarantined" in output
    assert "WARN=1 " in output


def test_build_fails_above_the_limit_with_share_reasons_and_place(dirty):
    project, truth, _ = dirty
    result = project.dbt("test", "--select", "quarantined_share_is_acceptable")
    assert result.returncode != 0
    sentence = " ".join(result.stdout.split())
    assert f"{truth['quarantined']} of {truth['rows']}; 2.00 % are allowed by the var" in sentence
    assert "Commonest reasons: " in sentence
    commonest = max(truth["rejections"].values())
    assert f" ({commonest})" in sentence.split("Commonest reasons: ")[1]
    assert "quarantined_compliance_events" in sentence.split("Look at")[1]


def test_downstream_tables_wait_for_the_limit(new_project):
    project = new_project("too_dirty")
    project.generate_events("--scenario", "dirty", "--defect-rate", "0.1")
    result = project.build()
    assert result.returncode != 0
    with project.connect() as connection:
        tables = {n for (n,) in connection.sql("show all tables").project("name").fetchall()}
    assert "quarantined_compliance_events" in tables
    assert tables.isdisjoint({"fct_compliance_events", "compliance_by_region"}), (
        "built from events that nobody should trust"
    )
