"""What the registry says holds wherever a column is read, judged and listed."""

import pandas as pd


def test_a_column_that_is_not_required_may_be_missing(new_project):
    project = new_project("optional")
    registry = project.root / "macros" / "registry" / "event_columns.sql"
    text = registry.read_text()
    for name in ("'user_age'", "'data_shared'"):
        text = text.replace(f"'name': {name},", f"'name': {name}, 'is_required': false,")
    registry.write_text(text)
    events = pd.read_csv(project.events_file, dtype=str, keep_default_na=False, nrows=50)
    events.loc[0, ["user_age", "data_shared"]] = ""
    events.loc[1, "user_age"] = "old"
    events.loc[2, "data_shared"] = "some"
    events.to_csv(project.events_file, index=False)

    result = project.build(
        *("--select", "+fct_compliance_events", "+quarantine_by_rejection_reason"),
        *("--vars", "{maximum_quarantined_share: 0.5}"),
    )
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        first = events.loc[0, "event_id"]
        accepted = connection.sql(
            "select count(*), count(user_age), count(data_shared), count(*) filter"
            f" (where event_id = {first} and user_age is null and data_shared is null)"
            " from marts.fct_compliance_events"
        ).fetchone()
        rejected = connection.sql(
            "select rejection_reasons from marts.quarantined_compliance_events order by event_id"
        ).fetchall()
        reasons = connection.sql(
            "select rejection_reason from marts.quarantine_by_rejection_reason"
        ).fetchall()
    assert accepted == (48, 47, 47, 1)
    assert {reason for (reason,) in rejected} == {"user_age_not_an_integer", "data_shared_unknown"}
    assert {("user_age_missing",), ("data_shared_missing",)}.isdisjoint(reasons)
    assert ("region_missing",) in reasons
