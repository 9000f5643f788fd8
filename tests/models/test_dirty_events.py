"""The dirty scenario from end to end: every row is accepted, quarantined or an exact copy."""

import json


def test_every_row_and_every_reason_is_counted_with_a_warning_below_the_limit(new_project):
    project = new_project("dirty")
    project.generate_events("--scenario", "dirty", "--defect-rate", "0.1")
    truth = json.loads(project.events_file.with_suffix(".truth.json").read_text())
    result = project.build("--vars", "{maximum_quarantined_share: 0.5}")
    assert result.returncode == 0, result.stdout
    share = truth["quarantined"] / truth["rows"]
    assert f"{100 * share:.2f} % of the raw rows are quarantined" in result.stdout
    # Some members lose more of their rows than a tenth.
    assert "WARN=2 " in result.stdout
    with project.connect() as connection:
        connection.execute("use marts")
        metrics = connection.sql("select metric, value_number from compliance_summary")
        summary = dict(metrics.fetchall())
        reasons = connection.table("quarantine_by_rejection_reason")
        by_reason = dict(reasons.project("rejection_reason, quarantined_rows").fetchall())
        assert len(connection.table("fct_compliance_events")) == truth["accepted"]
        assert len(connection.table("quarantined_compliance_events")) == truth["quarantined"]
    assert by_reason == truth["rejections"]
    assert all(by_reason.values())
    assert summary["exact_copies_dropped"] == truth["exact_copies_dropped"]
    assert summary["raw_rows"] == truth["rows"]


def test_build_fails_above_the_limit_with_share_reasons_and_place(new_project):
    project = new_project("too_dirty")
    project.generate_events("--scenario", "dirty", "--defect-rate", "0.1")
    truth = json.loads(project.events_file.with_suffix(".truth.json").read_text())
    result = project.build()
    assert result.returncode != 0
    sentence = " ".join(result.stdout.split())
    assert f"{truth['quarantined']} of {truth['rows']}; 2.00 % are allowed by the var" in sentence
    commonest, advice = sentence.split("Commonest reasons: ")[1].split(". ", 1)
    assert f" ({max(truth['rejections'].values())})" in commonest
    assert "quarantined_compliance_events" in advice and "in rejection_reasons" in advice
    with project.connect() as connection:
        tables = {n for (n,) in connection.sql("show all tables").project("name").fetchall()}
    assert "quarantined_compliance_events" in tables
    # Nothing is built from events that nobody should trust.
    assert tables.isdisjoint({"fct_compliance_events", "compliance_by_region"})
