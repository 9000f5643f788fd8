"""A build that takes only the changed days gives what a build from nothing gives."""

import contextlib
import json
import os
import random
import re
import time
from datetime import datetime, timedelta

import duckdb
import pandas as pd
import pytest
from conftest import assert_same, kill, rows_of

from ott.events.generator import SCHEMA

SEQUENCES = int(os.environ.get("OTT_TEST_SEQUENCES", "40"))
KILLS = int(os.environ.get("OTT_TEST_BUILD_KILLS", "1"))
COLUMNS = SCHEMA.names
SOURCE = {"database": "platform.duckdb", "schema": "main", "table": "events"}
# Statements are run again on other events, so that all of them must be there.
SETTINGS = {"events_source": SOURCE, "maximum_quarantined_share": 1, "keep_unchanged_tables": False}
VARIABLES = ("--vars", json.dumps(SETTINGS))
COUNTS = {"int_daily_member_counts", "int_daily_user_totals", "int_daily_value_counts"}
DAILY = ("int_checked_events", *sorted(COUNTS))


# --- Random changes of a source ------------------------------------------------------------------


def new_row(draws: random.Random, day: int) -> list[str | None]:
    """A raw event, text as it could come."""
    moment = datetime(2026, 1, 1 + day) + timedelta(seconds=draws.randrange(86400))
    row = [
        # Few ids, so that copies and conflicts come up, in one day and across days.
        str(draws.randrange(60)),
        moment.strftime("%Y-%m-%d %H:%M:%S"),
        str(draws.randrange(8)),
        draws.choice(["US", "EU", "asia ", "LATAM", "MARS"]),
        draws.choice(["GDPR", "CCPA"]),
        draws.choice(["login", "download"]),
        draws.choice(["compliant", "compliant", "warning", "violation"]),
        str(draws.randint(13, 70)),
        f"{draws.expovariate(1 / 45):.{draws.randint(0, 15)}f}",
        str(draws.randint(1, 4)),
        draws.choice(["none", "partial", "full"]),
    ]
    if draws.random() < 0.1:
        row[draws.randrange(len(row))] = draws.choice([None, "", "?", "2027-01-01 00:00:00"])
    return row


def changed(draws: random.Random, rows: list[list]) -> list[list]:
    """Rows after one of the things that happen to a source."""
    row = new_row(draws, draws.randint(0, 9))
    any_row = draws.choice(rows or [row])
    kind = draws.choice(["arrive", "copy", "conflict", "correct", "delete", "empty day"])
    if kind == "arrive":
        day = draws.randint(0, 9)
        rows = rows + [new_row(draws, day) for _ in range(draws.randint(0, 8))]
    elif kind == "copy":
        rows = [*rows, [*any_row]]
    elif kind == "conflict":
        rows = [*rows, [any_row[0], *row[1:]]]
    elif kind == "correct":
        column = draws.choice(["timestamp", *COLUMNS])
        any_row[COLUMNS.index(column)] = row[COLUMNS.index(column)]
    elif kind == "delete":
        rows = [other for other in rows if other is not any_row]
    elif kind == "empty day":
        rows = [other for other in rows if (other[1] or "")[:10] != (any_row[1] or "")[:10]]
    return rows


def write(connection: duckdb.DuckDBPyConnection, rows: list[list], draws: random.Random) -> None:
    """Put the rows into the source's table, in another order each time."""
    shuffled = pd.DataFrame(draws.sample(rows, len(rows)), columns=COLUMNS, dtype=object)
    connection.register("shuffled", shuffled)
    connection.execute(
        "delete from ott_events_source.main.events;"
        "insert into ott_events_source.main.events from shuffled"
    )


# --- The statements that dbt runs ----------------------------------------------------------------


@pytest.fixture(scope="module")
def project(new_project):
    """A project whose source is a table with the committed events but for the last days."""
    project = new_project("incremental")
    with duckdb.connect(project.root / "platform.duckdb") as connection:
        connection.execute(
            f"create table all_events as from read_csv('{project.events_file}', all_varchar = true)"
        )
        connection.execute("create table events as from all_events where timestamp < '2026-01-25'")
    build_by_days(project)
    return project


def build_by_days(project, *arguments: str) -> list[str]:
    """Build the models that are built by day, and return the SQL that dbt ran for models."""
    log = project.root / "logs" / "dbt.log"
    log.unlink(missing_ok=True)
    result = project.dbt(
        *("--log-format-file=json", "--log-level-file=debug", "build", *VARIABLES, *arguments),
        *("--resource-type", "seed", "--resource-type", "model"),
        # All else is made of these from nothing, each time by the same SQL.
        *("--select", *(f"+{table}" for table in DAILY)),
    )
    assert result.returncode == 0, result.stdout
    statements = [
        re.sub(r"^\s*/\*.*?\*/\s*", "", event["data"]["sql"], flags=re.DOTALL)
        for event in map(json.loads, log.read_text().splitlines())
        if event["info"]["name"] == "SQLQuery" and event["data"]["conn_name"].startswith("model.")
    ]
    # Comments and questions change no row; the source is attached already.
    aside = re.compile(r"\s*((comment on|attach|select|describe)\b|$)", re.IGNORECASE)
    # The days that are gone are committed before others are added.
    single = [
        part for sql in statements for part in (sql.split(";\n") if "commit;" in sql else [sql])
    ]
    return [sql for sql in single if not aside.match(sql)]


@pytest.fixture(scope="module")
def runs(project) -> dict[str, list[str]]:
    """The statements of a run from nothing, and of one that finds no change."""
    return {
        "full": build_by_days(project, "--full-refresh"),
        "incremental": build_by_days(project),
    }


@pytest.fixture(scope="module")
def databases(project, runs):
    """Two databases in memory after a run, each with a source of its own."""
    connections = {name: duckdb.connect() for name in runs}
    for connection in connections.values():
        connection.execute(f"""
            set threads = 1;
            set TimeZone = 'UTC';
            attach ':memory:' as ott_events_source;
            create table ott_events_source.main.events ({" varchar, ".join(COLUMNS)} varchar);
            attach ':memory:' as ott_build;
            attach '{project.root / "ott_build.duckdb"}' as built (read_only);
            copy from database built to ott_build;
            detach built;
            use ott_build;
        """)
    return connections


def replay(connection, statements: list[str]) -> None:
    """Run the statements as dbt did, after what an interrupted run left behind is removed."""
    leftovers = connection.execute(
        "select if(table_type = 'VIEW', 'view', 'table'), table_schema || '.' || table_name"
        " from information_schema.tables where contains(table_name, '__dbt_')"
    ).fetchall()
    for kind, leftover in leftovers:
        connection.execute(f"drop {kind} {leftover}")
    for statement in statements:
        connection.execute(statement)


def contents(connection) -> dict[str, list[tuple]]:
    return rows_of(connection, "intermediate", "marts")


def assert_equals_full_refresh(databases, runs, rows: list[list], draws: random.Random) -> None:
    write(databases["full"], rows, draws)
    replay(databases["full"], runs["full"])
    assert_same(contents(databases["incremental"]), contents(databases["full"]), tolerance=1e-12)


# --- The property --------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", range(SEQUENCES))
def test_incremental_equals_full_refresh(databases, runs, sequence):
    """After any changes, with runs that are skipped or interrupted between them."""
    draws = random.Random(sequence)
    rows = [new_row(draws, day) for day in range(6) for _ in range(draws.randint(0, 8))]
    connection = databases["incremental"]
    write(connection, rows, draws)
    replay(connection, runs["full"])
    for left in reversed(range(draws.randint(1, 3))):
        for _ in range(draws.randint(1, 5)):
            rows = changed(draws, rows)
        write(connection, rows, draws)
        if draws.random() < 0.3:
            # At some statement; what is not committed is lost, as by a kill.
            replay(connection, runs["incremental"][: draws.randrange(len(runs["incremental"]))])
            with contextlib.suppress(duckdb.TransactionException):
                connection.execute("rollback")
        if not left or draws.random() < 0.7:
            replay(connection, runs["incremental"])
    assert_equals_full_refresh(databases, runs, rows, draws)


def test_a_source_that_changes_during_a_run_is_right_after_the_next(databases, runs):
    """Repeated rows are read before the others; these change in between, and one more arrives."""
    draws = random.Random(0)
    repeated, *others = [new_row(draws, day) for day in (1, 1, 2, 1)]
    repeated[6] = "compliant"
    connection = databases["incremental"]
    write(connection, [repeated, repeated, *others[:2]], draws)
    replay(connection, runs["full"])

    write(connection, [repeated, repeated, *others], draws)
    statements = runs["incremental"]
    days = next(i for i, sql in enumerate(statements) if "int_source_days" in sql)
    read = 1 + max(i for i in range(days) if statements[i].strip(" ;\n").lower() == "commit")
    assert any("int_repeated_events" in sql for sql in statements[:read])
    replay(connection, statements[:read])
    repeated[6] = "violation"
    rows = [repeated, repeated, repeated, *others]
    write(connection, rows, draws)
    replay(connection, statements[read:])

    replay(connection, statements)
    assert_equals_full_refresh(databases, runs, rows, draws)


def test_tables_of_a_run_agree_while_the_source_keeps_changing(databases, runs):
    """Of a day whose rows are never those that were compared, each run counts what it has read."""
    draws = random.Random(0)
    rows = [new_row(draws, 1) for _ in range(20)]
    connection, statements = databases["incremental"], runs["incremental"]
    write(connection, rows, draws)
    replay(connection, runs["full"])
    days = next(i for i, sql in enumerate(statements) if "int_source_days" in sql)
    # Between two transactions, when all is compared and nothing is checked.
    begun = 1 + max(i for i in range(days) if statements[i].strip(" ;\n").lower() == "commit")
    for status in ("violation", "warning", "compliant"):
        rows = [*rows, new_row(draws, 1)]
        write(connection, rows, draws)
        replay(connection, statements[:begun])
        for row in rows:
            row[6] = status
        write(connection, rows, draws)
        replay(connection, statements[begun:])
        counted = "select sum(violation_events) from intermediate.int_daily_member_counts"
        checked = "select count(*) filter (is_violation) from marts.int_checked_events"
        assert connection.sql(f"{counted} where dimension = 'region'").fetchone() == (
            connection.sql(f"{checked} where rejection_reasons is null").fetchone()
        )


def test_a_run_without_a_change_deletes_and_appends_nothing(databases, runs):
    draws = random.Random(0)
    connection = databases["incremental"]
    write(connection, [new_row(draws, day) for day in range(6)], draws)
    replay(connection, runs["full"])
    counts = []
    for statement in runs["incremental"]:
        result = connection.execute(statement)
        change = re.match(r'\s*(delete from|insert into) [^(\n]*"(\w+)"', statement)
        # Of a table nothing tells but its rows, which are counted each time.
        if change and change[2] != "int_source_file_days":
            counts.append((change[2], change[1], *result.fetchone()))
    tables = (*DAILY, "int_repeated_events")
    expected = [(table, kind, 0) for table in tables for kind in ("delete from", "insert into")]
    assert sorted(counts) == expected
    assert not any("delete from" in statement for statement in runs["full"])


# --- Real runs -----------------------------------------------------------------------------------


def fingerprints(project) -> dict[str, set]:
    with project.connect() as connection:
        connection.execute("set search_path = 'intermediate,marts'")
        return {
            table: {*connection.sql(f"select fingerprint from {table}").fetchall()}
            for table in DAILY
        }


def run_all(project, *arguments: str) -> dict[str, list[tuple]]:
    """Run all models, and return all that was built."""
    result = project.dbt("run", *VARIABLES, *arguments)
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        # Views name tables without their database, and the source with it.
        connection.execute(f"attach '{project.root / 'platform.duckdb'}' as platform (read_only)")
        return contents(connection)


@pytest.mark.parametrize("seed", range(KILLS))
def test_after_a_killed_build_the_next_one_equals_a_full_refresh(project, runs, seed):
    """Events arrive, others are corrected and one is deleted; the kill comes amid the models."""
    draws = random.Random(seed)
    day = f"2026-01-{25 + seed % 6}"
    corrected, deleted = str(draws.randrange(1000)), str(draws.randrange(1000, 5000))
    with duckdb.connect(project.root / "platform.duckdb") as connection:
        connection.execute(
            f"insert into events from all_events where left(timestamp, 10) = '{day}';"
            f"update events set status = 'violation' where event_id = '{corrected}';"
            f"delete from events where event_id = '{deleted}'"
        )
    started = f".{draws.choice(DAILY)} "
    with project.start_build(*VARIABLES) as process:
        assert any("START" in line and started in line for line in process.stdout)
        time.sleep(draws.uniform(0, 0.3))
        assert kill(process), "the build ended before its kill"

    after_kill = run_all(project)
    assert day in {str(row[0]) for row in after_kill["marts.compliance_by_date"]}
    assert_same(after_kill, run_all(project, "--full-refresh"), tolerance=1e-12)


# Changes of the project in the order in which they are made, and the tables that are built anew.
STREAMS = """'bounds': [0],
                    'sentence': 'The number of streams"""
CHANGES = {
    "what leaves their SQL as it is": (
        [("macros/statistics/normal.sql", "0.46875", "0.46876"),
         ("models/intermediate/counts/int_days.sql", "coalesce(counts.events, 0)", "counts.events"),
         ("models/descriptions.md", "Never null", "Always there"),
         ("dbt_project.yml", "top_risk_users: 5", "top_risk_users: 7"),
         ("macros/registry/event_columns.sql", STREAMS,
          STREAMS.replace("[0]", "[var('minimum_streams', 0)]"))],
        set(),
    ),
    "the value of that variable": (
        [("dbt_project.yml", "\nvars:\n", "\nvars:\n  minimum_streams: 2\n")], {*DAILY},
    ),
    "a macro below others": (
        [("macros/rules/breaks_rule.sql", "}} > {{ rule.bounds", "}} >= {{ rule.bounds")], {*DAILY},
    ),
    "a known member": (
        [("seeds/regions.csv", "AFRICA,", "MARS,6,Mars\nAFRICA,")], {*DAILY},
    ),
    "the time of the build for the latest moment": (
        [("dbt_project.yml", 'latest_timestamp: "2026-01-31 00:00:00"', "latest_timestamp: now")],
        {*DAILY},
    ),
    "nothing but the time": ([], set()),
    "a view of the accepted events": (
        [("models/intermediate/intake/int_accepted_events.sql", "is_violation,",
          "not is_violation as is_violation,")],
        COUNTS,
    ),
    "a list of dimensions, and one of the models": (
        [("macros/registry/dimensions.sql", "|| ' / ' ||", "|| ' and ' ||"),
         ("models/intermediate/counts/int_daily_value_counts.sql", "cast({{ metric }} as double)",
          "cast({{ metric }} as double) + 1")],
        {"int_daily_member_counts", "int_daily_value_counts"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edits", "expected"), CHANGES.values(), ids=CHANGES)
def test_days_are_judged_anew_when_a_rule_changes_and_only_then(project, runs, edits, expected):
    before = fingerprints(project)
    for file, old, new in edits:
        path = project.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    build_by_days(project)
    after = fingerprints(project)
    assert {table for table in DAILY if after[table] != before[table]} == expected
    assert not any(after[table] & before[table] for table in expected), "days were left"
