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
import pytest
from conftest import clean_environment, install, run_ott

CLIENTS = Path(__file__).parent / "clients"

DUCKDB_VERSIONS = ("1.1.3", "1.4.5", "1.5.6", "2.0.0")
CLI_VERSION = "1.5.6"
SQLALCHEMY = ("duckdb-sqlalchemy==1.5.6.5", "sqlalchemy>=2,<3", "duckdb==1.5.6")
NODE_VERSION = "1.5.6-r.1"

QUERIES = {
    "moments, days and truths": "from marts.fct_compliance_events order by event_id limit 200",
    "days with nulls": "from marts.compliance_by_date order by event_date",
    "users with nulls": "from marts.dim_users order by user_id limit 200",
    "sentences": "from marts.key_findings order by display_order",
    "decimals": """
        select region, cast(violation_rate as decimal(9, 6)) as rate, cast(null as decimal) as none
        from marts.compliance_by_region
        order by region
    """,
    "sums and a join": """
        select users.risk_tier, events.region, count(*) as events, sum(events.concurrent_streams)
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
    if value is None or isinstance(example, bool | str | None):
        return value
    if isinstance(example, datetime.date):
        return type(example).fromisoformat(str(value))
    # Whole numbers that JavaScript cannot hold come as text.
    return type(example)(str(value) if isinstance(example, Decimal) else value)


def assert_same(answers: list[list], expected: list[list[tuple]], refusal: str | None) -> None:
    """All answers are as expected, and what would have changed the release was refused."""
    for name, found, rows in zip(QUERIES, answers, expected, strict=True):
        typed = [
            tuple(map(as_type_of, example, row)) for example, row in zip(rows, found, strict=True)
        ]
        # As text: there 1 does not equal 1.0 or true.
        assert list(map(repr, typed)) == list(map(repr, rows)), name
    assert refusal is not None, "the client wrote to the release"
    assert "read-only" in refusal, refusal


def ask(command: list, request: str, **environment: str) -> dict:
    result = subprocess.run(
        command,
        input=request,
        env={**clean_environment(), **environment},
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
@pytest.mark.parametrize("version", [*DUCKDB_VERSIONS, "sqlalchemy"])
def test_python_gives_the_same_answers(release_file, expected, pip_install, version):
    """By every version of DuckDB, which finds the checksums of the manifest as well."""
    is_plain = version != "sqlalchemy"
    packages = str(pip_install(*([f"duckdb=={version}"] if is_plain else SQLALCHEMY)))
    command = [sys.executable, CLIENTS / "query.py", "plain" if is_plain else version, release_file]
    answer = ask(command, REQUEST, PYTHONPATH=packages, PYTHONIOENCODING="utf-8")
    assert_same(answer["answers"], expected, answer["refusal"])
    if is_plain:
        assert answer["version"] == version
        served = str(release_file.parent.parent)
        result = run_ott("releases", "verify", PYTHONPATH=packages, OTT_RELEASE_PATH=served)
        assert result.stdout.endswith("matches its manifest.\n"), result.stderr


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
    result = run(FORBIDDEN)
    assert result.returncode != 0
    assert_same(answers, expected, result.stderr)


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
    assert_same(answer["answers"], expected, answer["refusal"])
