"""A build that takes only the changed days gives what a build from nothing gives."""

import contextlib
import json
import os
import random
import re
import time
from datetime import datetime, timedelta

import duckdb
import pytest
from conftest import BUILD, assert_same, kill

from ott.events.generator import SCHEMA

SEQUENCES = int(os.environ.get("OTT_TEST_SEQUENCES", "40"))
COLUMNS = tuple(SCHEMA.names)
TEXT_COLUMNS = ", ".join(f"{column} varchar" for column in COLUMNS)
SOURCE = {"database": "platform.duckdb", "schema": "main", "table": "events"}
VARIABLES = json.dumps({"events_source": SOURCE, "maximum_quarantined_share": 1})
DAILY = {
    "int_checked_events": "source_date",
    "int_daily_member_counts": "event_date",
    "int_daily_user_totals": "event_date",
    "int_daily_value_counts": "event_date",
}


# --- Random changes of a source ------------------------------------------------------------------


class Source:
    """A table of raw events, text as it could come, that random changes happen to."""

    def __init__(self, draws: random.Random):
        self.draws = draws
        self.rows: list[list[str | None]] = []
        self.add(range(draws.randint(0, 6)))

    def new_row(self, day: int) -> list[str | None]:
        draws = self.draws
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

    def add(self, days) -> None:
        for day in days:
            self.rows += [self.new_row(day) for _ in range(self.draws.randint(0, 8))]

    def change(self) -> None:
        """Do one of the things that happen to a source."""
        draws = self.draws
        kind = draws.choice(
            ["arrive", "late", "copy", "conflict", "correct", "move", "delete", "empty day", "none"]
        )
        if kind == "arrive":
            self.add([draws.randint(0, 9)])
        elif kind == "late":
            self.rows.append(self.new_row(draws.randint(0, 9)))
        elif not self.rows:
            return
        elif kind == "copy":
            self.rows.append(list(draws.choice(self.rows)))
        elif kind == "conflict":
            row = self.new_row(draws.randint(0, 9))
            row[0] = draws.choice(self.rows)[0]
            self.rows.append(row)
        elif kind == "correct":
            column = draws.randrange(len(COLUMNS))
            draws.choice(self.rows)[column] = self.new_row(draws.randint(0, 9))[column]
        elif kind == "move":
            draws.choice(self.rows)[1] = self.new_row(draws.randint(0, 9))[1]
        elif kind == "delete":
            self.rows.remove(draws.choice(self.rows))
        elif kind == "empty day":
            day = (draws.choice(self.rows)[1] or "")[:10]
            self.rows = [row for row in self.rows if (row[1] or "")[:10] != day]

    def write(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Put the rows into the source's table, in another order each time."""
        self.draws.shuffle(self.rows)
        connection.execute("delete from ott_events_source.main.events")
        if self.rows:
            values = ", ".join(f"({', '.join('?' * len(COLUMNS))})" for _ in self.rows)
            connection.execute(
                f"insert into ott_events_source.main.events values {values}",
                [value for row in self.rows for value in row],
            )


def create_source(path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute(f"create or replace table events ({TEXT_COLUMNS})")


# --- The statements that dbt runs ----------------------------------------------------------------


@pytest.fixture(scope="module")
def project(new_project):
    project = new_project("incremental")
    create_source(project.root / "platform.duckdb")
    result = project.dbt("seed", "--vars", VARIABLES)
    assert result.returncode == 0, result.stdout
    return project


def statements_of(project, *arguments: str) -> list[str]:
    """Run the models with dbt and return the SQL that it ran for them, in order."""
    log = project.root / "logs" / "dbt.log"
    log.unlink(missing_ok=True)
    result = project.dbt(
        *("--log-format-file=json", "--log-level-file=debug", "run", "--vars", VARIABLES),
        # All else is made of these from nothing, each time by the same SQL.
        *("--select", *(f"+{table}" for table in DAILY), *arguments),
    )
    assert result.returncode == 0, result.stdout
    statements = []
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if not event["data"].get("conn_name", "").startswith("model."):
            continue
        if event["info"]["name"] == "SQLQuery":
            statements.append(event["data"]["sql"])
    return [
        sql
        for sql in (re.sub(r"^\s*/\*.*?\*/\s*", "", sql, flags=re.S) for sql in statements)
        # Comments and questions change no row; the source is attached already.
        if sql.strip() and not re.match(r"\s*(comment on|attach|select|describe)\b", sql, re.I)
    ]


@pytest.fixture(scope="module")
def runs(project) -> dict[str, list[str]]:
    """The statements of a first run, of one from nothing, and of one for the changed days."""
    return {
        "first": statements_of(project),
        "full": statements_of(project, "--full-refresh"),
        "incremental": statements_of(project),
    }


@pytest.fixture(scope="module")
def databases(project, runs):
    """Two databases in memory after a first run, each with a source of its own."""
    connections = {}
    for name in ("incremental", "full"):
        connection = connections[name] = duckdb.connect(config={"threads": 1})
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("attach ':memory:' as ott_build")
        connection.execute("attach ':memory:' as ott_events_source")
        connection.execute(f"create table ott_events_source.main.events ({TEXT_COLUMNS})")
        connection.execute("use ott_build")
        connection.execute(f"attach '{project.root / 'ott_build.duckdb'}' as built (read_only)")
        for schema in ("raw", "staging", "intermediate", "marts"):
            connection.execute(f"create schema {schema}")
        for (seed,) in connection.execute(
            "select table_name from duckdb_tables() where database_name = 'built'"
            " and schema_name = 'raw'"
        ).fetchall():
            connection.execute(f"create table raw.{seed} as from built.raw.{seed}")
        connection.execute("detach built")
        replay(connection, runs["first"])
    yield connections
    for connection in connections.values():
        connection.close()


def replay(connection, statements: list[str]) -> None:
    """Run the statements as dbt did, after what an interrupted run left behind is removed."""
    leftovers = connection.execute(r"""
        select 'table ' || schema_name || '.' || table_name from duckdb_tables()
        where table_name like '%\_\_dbt\_%' escape '\'
        union all
        select 'view ' || schema_name || '.' || view_name from duckdb_views()
        where view_name like '%\_\_dbt\_%' escape '\'
    """).fetchall()
    for (leftover,) in leftovers:
        connection.execute(f"drop {leftover}")
    for statement in statements:
        connection.execute(statement)


def interrupt(connection, statements: list[str], draws: random.Random) -> None:
    """Stop a run at some statement; what is not committed is lost, as by a kill."""
    try:
        replay(connection, statements[: draws.randrange(len(statements))])
    finally:
        with contextlib.suppress(duckdb.TransactionException):
            connection.execute("rollback")


def contents(connection) -> dict[str, list[tuple]]:
    names = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_catalog = 'ott_build' and table_schema in ('intermediate', 'marts')"
        " and table_name not like '%\\_\\_dbt\\_%' escape '\\'"
        " order by all"
    ).fetchall()
    return {name: connection.execute(f"from {name} order by all").fetchall() for (name,) in names}


# --- The property --------------------------------------------------------------------------------


@pytest.mark.parametrize("sequence", range(SEQUENCES))
def test_incremental_equals_full_refresh(databases, runs, sequence):
    """After any changes, with runs that are skipped or interrupted between them."""
    draws = random.Random(sequence)
    source = Source(draws)
    connection = databases["incremental"]
    source.write(connection)
    replay(connection, runs["full"])
    steps = draws.randint(1, 3)
    for step in range(steps):
        for _ in range(draws.randint(1, 5)):
            source.change()
        source.write(connection)
        if draws.random() < 0.3:
            interrupt(connection, runs["incremental"], draws)
        if step == steps - 1 or draws.random() < 0.7:
            replay(connection, runs["incremental"])

    source.write(databases["full"])
    replay(databases["full"], runs["full"])
    assert_same(contents(connection), contents(databases["full"]), tolerance=1e-12)


def test_a_source_that_changes_during_a_run_is_right_after_the_next(databases, runs):
    """Repeated rows are read before the others; these change in between, and one more arrives."""
    source = Source(random.Random(0))
    row = source.new_row(1)
    row[6] = "compliant"
    source.rows = [row, list(row), source.new_row(1), source.new_row(2)]
    connection = databases["incremental"]
    source.write(connection)
    replay(connection, runs["full"])

    source.rows.append(source.new_row(1))
    source.write(connection)
    statements = runs["incremental"]
    days = next(i for i, sql in enumerate(statements) if "int_source_days" in sql)
    read = 1 + max(i for i in range(days) if statements[i].strip(" ;\n").lower() == "commit")
    assert any("int_repeated_events" in sql for sql in statements[:read])
    replay(connection, statements[:read])
    changed = [*row[:6], "violation", *row[7:]]
    source.rows = [changed if other == row else other for other in source.rows] + [changed]
    source.write(connection)
    for statement in statements[read:]:
        connection.execute(statement)

    replay(connection, statements)
    source.write(databases["full"])
    replay(databases["full"], runs["full"])
    assert_same(contents(connection), contents(databases["full"]), tolerance=1e-12)


def test_the_replayed_statements_are_those_of_an_incremental_run(runs):
    for table in DAILY:
        deletes = [sql for sql in runs["incremental"] if "delete from" in sql and table in sql]
        assert deletes, table
        assert not [sql for sql in runs["full"] if "delete from" in sql and table in sql]
        assert [sql for sql in runs["incremental"] if "insert into" in sql and table in sql]


# --- Real runs -----------------------------------------------------------------------------------

KILLS = int(os.environ.get("OTT_TEST_BUILD_KILLS", "1"))


@pytest.fixture(scope="module")
def grown(new_project):
    """A project built from a source table with the committed events but for the last days."""
    project = new_project("grown")
    with duckdb.connect(project.root / "platform.duckdb") as connection:
        connection.execute(
            f"create table all_events as from read_csv('{project.events_file}', all_varchar = true)"
        )
        connection.execute("create table events as from all_events where timestamp < '2026-01-25'")
    for command in ("seed", "run"):
        result = project.dbt(command, "--vars", VARIABLES)
        assert result.returncode == 0, result.stdout
    return project


def stored(project, columns: str = "*") -> dict[str, list[tuple]]:
    with project.connect() as connection:
        return {
            table: connection.execute(
                f"select {columns} from intermediate.{table} order by all"
            ).fetchall()
            for table in DAILY
        }


def built(project) -> dict[str, list[tuple]]:
    """All that was built, under the name that `contents` looks for."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{project.root / 'ott_build.duckdb'}' as ott_build (read_only)")
        # Views name tables without their database, and the source with it.
        connection.execute(f"attach '{project.root / 'platform.duckdb'}' as platform (read_only)")
        connection.execute("use ott_build")
        return contents(connection)


def test_a_build_without_a_change_deletes_and_appends_nothing(grown):
    """DuckDB never uses the id of a row again, so even a row built alike would show."""
    before = stored(grown, "rowid, *")
    result = grown.dbt("run", "--vars", VARIABLES)
    assert result.returncode == 0, result.stdout
    assert stored(grown, "rowid, *") == before
    assert all(before.values())


@pytest.mark.parametrize("seed", range(KILLS))
def test_after_a_killed_build_the_next_one_equals_a_full_refresh(grown, seed):
    """Events arrive, others are corrected and one is deleted; the kill comes amid the models."""
    draws = random.Random(seed)
    with duckdb.connect(grown.root / "platform.duckdb") as connection:
        day = f"2026-01-{25 + seed % 6}"
        connection.execute(
            "insert into events from all_events where left(timestamp, 10) = ?", [day]
        )
        connection.execute(
            "update events set status = 'violation' where event_id = ?",
            [str(draws.randrange(1000))],
        )
        connection.execute(
            "delete from events where event_id = ?", [str(draws.randrange(1000, 5000))]
        )
    model = draws.choice([*DAILY])
    with grown.start_dbt(*BUILD, "--vars", VARIABLES) as process:
        for line in process.stdout:
            if "START" in line and f"intermediate.{model} " in line:
                break
        time.sleep(draws.uniform(0, 0.3))
        assert kill(process), "the build ended before its kill"

    result = grown.dbt("run", "--vars", VARIABLES)
    assert result.returncode == 0, result.stdout
    after_kill = built(grown)
    assert day in {str(row[0]) for row in after_kill["marts.compliance_by_date"]}
    result = grown.dbt("run", "--full-refresh", "--vars", VARIABLES)
    assert result.returncode == 0, result.stdout
    assert_same(after_kill, built(grown), tolerance=1e-12)


# --- Changed rules -------------------------------------------------------------------------------

COUNTS = {table for table in DAILY if table.startswith("int_daily_")}
# Changes of the project in the order in which they are made, and the tables that are built anew.
CHANGES = {
    "what leaves their SQL as it is": (
        [("macros/statistics/normal.sql", "0.46875", "0.46876"),
         ("models/intermediate/counts/int_days.sql", "coalesce(counts.events, 0)", "counts.events"),
         ("models/descriptions.md", "Never null", "Always there"),
         ("dbt_project.yml", "top_risk_users: 5", "top_risk_users: 7"),
         ("macros/registry/event_columns.sql", "'bounds': [1]",
          "'bounds': [var('minimum_streams', 1)]")],
        set(),
    ),
    "the value of that variable": (
        [("dbt_project.yml", "\nvars:\n", "\nvars:\n  minimum_streams: 2\n")],
        {*DAILY},
    ),
    "a macro below others": (
        [("macros/rules/breaks_rule.sql", "{{ value }} > {{ rule.bounds[0] }}",
          "{{ value }} >= {{ rule.bounds[0] }}")],
        {*DAILY},
    ),
    "the time of the build for the latest moment": (
        [("dbt_project.yml", 'latest_timestamp: "2026-01-31 00:00:00"', "latest_timestamp: now")],
        {*DAILY},
    ),
    "nothing but the time": ([], set()),
    "a view of the accepted events": (
        [("models/intermediate/intake/int_accepted_events.sql", "extract(hour", "extract(minute")],
        COUNTS,
    ),
    "a list of dimensions, and one of the models": (
        [("macros/registry/dimensions.sql", "|| ' / ' ||", "|| ' and ' ||"),
         ("models/intermediate/counts/int_daily_value_counts.sql", "cast({{ metric }} as double)",
          "cast({{ metric }} as double) + 1")],
        {"int_daily_member_counts", "int_daily_value_counts"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def ruled(new_project):
    project = new_project("ruled")
    build_by_days(project)
    return project


def build_by_days(project) -> None:
    result = project.build("--resource-type", "seed", "--resource-type", "model",
        "--select", *(f"+{table}" for table in DAILY),
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("change", CHANGES)
def test_days_are_judged_anew_when_a_rule_changes_and_only_then(ruled, change):
    edits, expected = CHANGES[change]
    before = stored(ruled, "distinct fingerprint")
    for file, old, new in edits:
        path = ruled.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    build_by_days(ruled)
    after = stored(ruled, "distinct fingerprint")
    assert {table for table in DAILY if after[table] != before[table]} == expected
    for table in expected:
        assert not {*after[table]} & {*before[table]}, "some days were left as they were"
