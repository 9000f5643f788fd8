"""What the README shows is what a reader gets."""

import re
import subprocess
import sys

import duckdb
import pytest
from conftest import PROJECT, clean_environment

README = (PROJECT / "README.md").read_text()


FENCED_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
MAKE_TARGETS = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", README, flags=re.MULTILINE))


def code_blocks(language: str) -> list[str]:
    return [code for name, code in FENCED_BLOCK.findall(README) if name == language]


def test_example_query_gives_the_printed_output(built_project):
    (query,) = code_blocks("sql")
    (output,) = code_blocks("")
    with built_project.connect() as connection:
        assert str(connection.sql(query)).strip() == output.strip()


def test_python_connection_string_works(built_project, monkeypatch):
    (expression,) = re.findall(r"`(duckdb\.connect\([^`]*\))`", README)
    monkeypatch.chdir(built_project.root)
    with eval(expression, {"duckdb": duckdb}) as connection:
        assert len(connection.sql("from marts.compliance_by_region").fetchall()) == 5


def test_every_connection_string_names_the_release(built_project, release_file):
    section = README.split("## Connect your tools")[1].split("## Releases")[0]
    paths = set(re.findall(r"[\w./]*\.duckdb\b", section))
    assert paths == {
        "release/current/ott_compliance.duckdb",
        "////absolute/path/release/current/ott_compliance.duckdb",
        # Which clients should leave alone.
        "ott_build.duckdb",
    }
    assert release_file == built_project.root / "release" / "current" / "ott_compliance.duckdb"


def test_release_commands_run(built_project):
    section = README.split("## Releases")[1].split("## Your own")[0]
    commands = re.findall(r"^\.venv/bin/ott releases (list|verify)", section, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(
            [sys.executable, "scripts/ott", "releases", command],
            cwd=built_project.root,
            env=clean_environment(),
            check=True,
        )


def test_analysis_example_runs(own_build):
    (command,) = re.findall(r"`.venv/bin/dbt (show [^`]*)`", README)
    result = own_build.dbt(*command.split())
    assert result.returncode == 0, result.stdout
    assert "AFRICA" in result.stdout


def test_realistic_example_builds(new_project):
    project = new_project("realistic")
    (command,) = re.findall(r"^\.venv/bin/ott generate (.*)$", README, re.M)
    project.generate_events(*command.split())
    result = project.build()
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        events = connection.sql("select count(*) from marts.fct_compliance_events").fetchall()[0][0]
    assert events == 100_000


@pytest.mark.parametrize("target", sorted(MAKE_TARGETS))
def test_make_target_exists(target):
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=PROJECT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_make_help_is_the_default_and_lists_every_target():
    result = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True)
    makefile = (PROJECT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    listed = re.findall(r"^  make ([a-z0-9-]+)", result.stdout, flags=re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())


def test_table_of_marts_is_complete(built_project):
    section = README.split("## What you get")[1].split("For example:")[0]
    listed = set(re.findall(r"`([a-z_]+)`", section)) - {"marts"}
    with built_project.connect() as connection:
        tables = connection.sql(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
    assert {name for (name,) in tables} == {name for name in listed if not name.startswith("ott_")}
