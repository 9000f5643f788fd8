"""A release opens and gives the same answers in other versions of DuckDB and other programs."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from conftest import PROJECT, clean_environment, install

CLIENTS = Path(__file__).parent / "clients"

DUCKDB_VERSIONS = ("1.1.3", "1.4.5", "1.5.6", "2.0.0")
CLI_VERSION = "1.5.6"
SQLALCHEMY = ("duckdb-sqlalchemy==1.5.6.5", "sqlalchemy>=2,<3", "duckdb==1.5.6")
NODE_VERSION = "1.5.6-r.1"

QUERIES = {
    "texts and rates": "from marts.compliance_by_region order by display_order",
    "moments, days and truths": "from marts.fct_compliance_events order by event_id limit 200",
    "days with nulls": "from marts.compliance_by_date order by event_date",
    "users with nulls": "from marts.dim_users order by user_id limit 200",
    "sentences": "from marts.key_findings order by display_order",
    "figures of the one or the other type": "from marts.compliance_summary order by display_order",
    "decimals": """
        select region, cast(violation_rate as decimal(9, 6)) as rate, cast(null as decimal) as none
        from marts.compliance_by_region
        order by region
    """,
    "sums of every event": """
        select
            status,
            count(*) as events,
            count(distinct user_id) as users,
            sum(concurrent_streams) as streams,
            min(occurred_at) as first_at,
            max(event_date) as last_day,
            bool_or(is_violation) as is_violation
        from marts.fct_compliance_events
        group by status
        order by status
    """,
    "a join of tables": """
        select users.risk_tier, events.region, count(*) as events, max(users.user_age) as oldest
        from marts.fct_compliance_events as events
        join marts.dim_users as users on events.user_id = users.user_id
        group by users.risk_tier, events.region
        order by users.risk_tier, events.region
    """,
    "nothing": "select event_id, region from marts.fct_compliance_events where event_id < 0",
    "comments on tables": """
        select table_name, comment from duckdb_tables()
        where schema_name = 'marts' order by table_name
    """,
    "comments on columns": """
        select table_name, column_name, data_type, comment from duckdb_columns()
        where schema_name = 'marts' order by table_name, column_index
    """,
}
FORBIDDEN = "create table marts.intruder (number integer)"
REQUEST = json.dumps([*QUERIES.values(), FORBIDDEN])

# --- the release and the expected answers --------------------------------------------------------


@pytest.fixture(scope="session")
def expected(release_file) -> Iterator[list[list[tuple]]]:
    """What the DuckDB of the project answers; it stays open, for clients read beside each other."""
    with duckdb.connect(release_file, read_only=True) as connection:
        yield [connection.execute(query).fetchall() for query in QUERIES.values()]


@pytest.fixture(autouse=True)
def unchanged(release_file) -> Iterator[None]:
    """No client may leave a trace in the file or beside it."""

    def state() -> tuple:
        digest = hashlib.sha256(release_file.read_bytes()).hexdigest()
        return digest, sorted(path.name for path in release_file.parent.iterdir())

    before = state()
    yield
    assert state() == before


def as_type_of(example: object, value: object) -> object:
    """Read a value that came as JSON as the type that it was; only null becomes null."""
    match example:
        case None:
            return value
        case _ if value is None:
            return None
        case bool():
            return value
        case int() | float():
            # Whole numbers that JavaScript cannot hold come as text.
            return type(example)(value)
        case Decimal():
            return Decimal(str(value))
        case datetime.datetime() | datetime.date():
            return type(example).fromisoformat(str(value))
        case _:
            return value


def assert_same(found: list[list], expected: list[list[tuple]]) -> None:
    for name, found_rows, expected_rows in zip(QUERIES, found, expected, strict=True):
        typed = [
            tuple(map(as_type_of, example, row))
            for example, row in zip(expected_rows, found_rows, strict=True)
        ]
        # As text: there 1 does not equal 1.0 or true.
        assert list(map(repr, typed)) == list(map(repr, expected_rows)), name


def assert_refused(refusal: str | None) -> None:
    assert refusal is not None, "the client wrote to the release"
    assert "read-only" in refusal, refusal


def ask(command: list, request: str, **environment: str) -> dict:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        command,
        input=request,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


# --- the clients ---------------------------------------------------------------------------------


def test_the_queries_meet_every_kind_of_value(expected):
    kinds = {type(value) for rows in expected for row in rows for value in row}
    assert kinds == {
        *(bool, int, float, str, type(None)),
        *(Decimal, datetime.datetime, datetime.date),
    }
    *_, tables, columns = expected
    assert tables and all(comment for *_, comment in tables)
    assert columns and all(comment for *_, comment in columns)


@pytest.mark.slow
@pytest.mark.parametrize("version", DUCKDB_VERSIONS)
def test_duckdb_for_python_gives_the_same_answers(release_file, expected, pip_install, version):
    packages = pip_install(f"duckdb=={version}")
    command = [sys.executable, CLIENTS / "query.py", "plain", release_file]
    answer = ask(command, REQUEST, PYTHONPATH=str(packages), PYTHONIOENCODING="utf-8")
    assert answer["version"] == version
    assert_same(answer["answers"], expected)
    assert_refused(answer["refusal"])


@pytest.mark.slow
@pytest.mark.parametrize("version", DUCKDB_VERSIONS)
def test_every_duckdb_finds_the_checksums_of_the_manifest(release_file, pip_install, version):
    packages = pip_install(f"duckdb=={version}")
    result = subprocess.run(
        [sys.executable, PROJECT / "scripts" / "ott", "releases", "verify"],
        env={
            **clean_environment(),
            "PYTHONPATH": str(packages),
            "OTT_RELEASE_PATH": str(release_file.parent.parent),
        },
        capture_output=True,
        text=True,
    )
    assert result.stdout.endswith("matches its manifest.\n"), result.stderr


@pytest.mark.slow
def test_sqlalchemy_gives_the_same_answers(release_file, expected, pip_install):
    packages = pip_install(*SQLALCHEMY)
    command = [sys.executable, CLIENTS / "query.py", "sqlalchemy", release_file]
    answer = ask(command, REQUEST, PYTHONPATH=str(packages), PYTHONIOENCODING="utf-8")
    assert_same(answer["answers"], expected)
    assert_refused(answer["refusal"])


@pytest.mark.slow
def test_the_command_line_gives_the_same_answers(release_file, expected, pip_install):
    packages = pip_install(f"duckdb-cli=={CLI_VERSION}")
    (program,) = (packages / "duckdb_cli").glob("duckdb*")
    program.chmod(0o755)  # pip does not make files of a package executable

    def run(query: str) -> subprocess.CompletedProcess:
        # Without the settings of whoever runs the tests.
        command = [program, "-init", os.devnull, "-readonly", "-json", release_file, query]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)

    answers = []
    for query in QUERIES.values():
        result = run(query)
        assert result.returncode == 0, result.stderr
        answers.append([list(row.values()) for row in json.loads(result.stdout or "[]")])
    assert_same(answers, expected)
    result = run(FORBIDDEN)
    assert result.returncode != 0
    assert_refused(result.stderr)


@pytest.mark.slow
def test_node_gives_the_same_answers(release_file, expected, client_folder):
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        pytest.skip("Node is not installed")
    package, options = f"@duckdb/node-api@{NODE_VERSION}", ("--no-package-lock", "--no-audit")
    folder = install(
        client_folder / f"node-{NODE_VERSION}",
        lambda folder: [npm, "install", *options, "--prefix", folder, package],
        probe=[npm, "view", "@duckdb/node-api", "version"],
    )
    # A module finds packages in the folder above it.
    script = shutil.copy(CLIENTS / "query.mjs", folder)
    answer = ask([node, script, release_file, REQUEST], "")
    assert answer["version"] == f"v{NODE_VERSION.partition('-')[0]}"
    assert_same(answer["answers"], expected)
    assert_refused(answer["refusal"])


def test_pandas_gives_the_same_answers(release_file, expected):
    with duckdb.connect(release_file, read_only=True) as connection:
        frames = [connection.sql(query).df() for query in QUERIES.values()]
        with pytest.raises(duckdb.InvalidInputException) as refusal:
            connection.execute(FORBIDDEN)
    assert_refused(str(refusal.value))

    answers = [
        [
            [None if pd.isna(value) else value for value in row]
            for row in frame.itertuples(index=False)
        ]
        for frame in frames
    ]
    # Data frames hold days as moments, and decimals and whole numbers with nulls as floats.
    for rows, expected_rows in zip(answers, expected, strict=True):
        for row, example in zip(rows, expected_rows, strict=True):
            for index, value in enumerate(example):
                if type(value) is datetime.date:
                    row[index] = row[index].date()
                elif isinstance(value, Decimal):
                    row[index] = f"{row[index]:.6f}"
                elif isinstance(value, bool):
                    row[index] = bool(row[index])
    assert_same(answers, expected)
