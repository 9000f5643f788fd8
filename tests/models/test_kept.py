"""Tables and test results of what is the same as last time are kept, and only these."""

import re

import duckdb
from conftest import Project


def kept(project: Project, *arguments: str) -> set[str]:
    """Build, and return the models that were kept."""
    result = project.build(*arguments)
    assert result.returncode == 0, result.stdout
    return {*re.findall(r"model \w+\.(\w+) \.* ?\[KEPT", result.stdout)}


def test_only_what_is_made_of_something_else_is_built_again(copied_build):
    before = copied_build.contents("intermediate", "marts")
    again = kept(copied_build)
    assert copied_build.contents("intermediate", "marts") == before
    assert {"violation_trend", "int_member_users", "dim_users", "key_findings"} <= again
    assert not {"int_source_files", "int_changed_days"} & again

    changed = again - kept(copied_build, "--vars", "{top_risk_users: 7}")
    assert changed == {"top_risk_users"}
    with copied_build.connect() as connection:
        assert connection.sql("select count(*) from marts.top_risk_users").fetchone() == (7,)

    # As a build leaves it that ends between a table and its record.
    with duckdb.connect(copied_build.root / "ott_build.duckdb") as connection:
        connection.execute("delete from built_from where node like '%.dim_users'")
        connection.execute("delete from marts.dim_users")
    assert "dim_users" not in kept(copied_build, "--vars", "{top_risk_users: 7}")
    assert copied_build.contents("marts")["marts.dim_users"] == before["marts.dim_users"]
    assert not kept(copied_build, "--vars", "{keep_unchanged_tables: false, top_risk_users: 7}")
    assert not kept(copied_build, "--full-refresh", "--vars", "{top_risk_users: 7}")


def test_a_test_that_failed_or_is_asked_for_is_run_again(copied_build):
    kept(copied_build)
    name = "fct_compliance_events_primary_key"
    copies = "insert into marts.int_checked_events from marts.int_checked_events limit 1"
    with duckdb.connect(copied_build.root / "ott_build.duckdb") as connection:
        connection.execute(copies)
    result = copied_build.dbt("test", "--select", name)
    assert result.returncode == 1, result.stdout
    # In a build, equal fingerprints of the days tell of equal rows.
    result = copied_build.dbt("build", "--select", name)
    assert result.returncode == 0, result.stdout
    with duckdb.connect(copied_build.root / "ott_build.duckdb") as connection:
        connection.execute(f"delete from built_from where node like '%.{name}.%'")
    for _ in range(2):
        result = copied_build.dbt("build", "--select", name)
        assert result.returncode == 1, result.stdout
