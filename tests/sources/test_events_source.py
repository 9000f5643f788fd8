"""Events from files and tables: as from the seed, day by day, and a sentence when it cannot be."""

import json
import os

import duckdb
import pytest
from conftest import assert_same

from ott import releases

# Types as a data platform would have them.
TYPED = """
    select * replace (
        event_id::bigint as event_id,
        timestamp::timestamp as timestamp,
        user_id::integer as user_id,
        user_age::integer as user_age,
        session_duration_minutes::double as session_duration_minutes,
        concurrent_streams::integer as concurrent_streams
    ) from text
"""


def seed_events(project) -> duckdb.DuckDBPyConnection:
    """The committed events as the tables `text` and `typed`."""
    connection = duckdb.connect()
    connection.execute(
        f"create table text as from read_csv('{project.events_file}', all_varchar = true)"
    )
    connection.execute(f"create table typed as {TYPED}")
    (project.root / "data").mkdir()
    return connection


def variables(source: str | dict, **others) -> list[str]:
    return [
        "--vars",
        json.dumps({"events_source": source, "maximum_quarantined_share": 1, **others}),
    ]


def build(project, source, **others) -> None:
    """Seeds and models up to the accepted events, and count rows."""
    result = project.build(
        *("--select", "+fct_compliance_events,resource_type:seed"),
        *("+fct_compliance_events,resource_type:model", "every_row_of_the_source_is_read"),
        *variables(source, **others),
    )
    assert result.returncode == 0, result.stdout


def query(project, sql: str) -> list[tuple]:
    with project.connect() as connection:
        return connection.sql(sql).fetchall()


def public_rows(project) -> dict[str, list[tuple]]:
    """The accepted and the rejected rows as they were built."""
    names = ("fct_compliance_events", "quarantined_compliance_events")
    return {name: query(project, f"from marts.{name} order by all") for name in names}


# --- Parquet --------------------------------------------------------------------------------------


def test_parquet_files_give_the_marts_of_the_seed_and_a_new_file_adds_only_its_days(
    new_project, built_project
):
    """Files differ in order, types and number of their columns, as they do over the years."""
    project = new_project("parquet")
    files = {
        "first": "select data_shared, * exclude (data_shared)"
        " replace (cast(user_id as double) as user_id,"
        " cast(concurrent_streams as bigint) as concurrent_streams)"
        " from typed where timestamp < '2026-01-10'",
        "second": "select * replace (cast(user_age as double) as user_age,"
        " cast(timestamp as timestamp_ns) as timestamp, cast(event_id as integer) as event_id),"
        " 'x' as app_version"
        " from typed where timestamp >= '2026-01-10' and timestamp < '2026-01-20'",
        # Of no type that the others together do not have: another one builds all days anew.
        "third": "select * replace (cast(timestamp as timestamp_ms) as timestamp)"
        " from typed where timestamp >= '2026-01-20'",
    }
    with seed_events(project) as events:
        for name, columns in files.items():
            if name == "third":
                build(project, "data/*.parquet")
            events.execute(f"copy ({columns}) to '{project.root}/data/{name}.parquet'")
    # Text that nobody reads of an accepted event: gone when its day is built again.
    with duckdb.connect(project.root / "ott_build.duckdb") as connection:
        marked = connection.execute(
            "update marts.int_checked_events set raw_region = 'marked'"
            " where rejection_reasons is null"
        ).fetchall()
    before = {*project.releases.glob("2*")}
    result = project.build(*variables("data/*.parquet"))
    assert result.returncode == 0, result.stdout
    assert {*project.releases.glob("2*")} > before, result.stdout
    released = f"release/current/{releases.DATABASE}"
    assert_same(
        project.contents("marts", file=released), built_project.contents("marts", file=released)
    )
    left = "select count(*) from marts.int_checked_events where raw_region = 'marked'"
    assert query(project, left) == marked != [(0,)]


# --- A table of another database ------------------------------------------------------------------

MAPPED = {"timestamp": "event time", "region": "Country"}


@pytest.fixture(scope="module")
def platform(new_project):
    """A project whose events are in a database with names, and an order of columns, of its own."""
    project = new_project("platform")
    with seed_events(project) as events:
        events.execute(f"attach '{project.root / 'platform.duckdb'}' as platform")
        events.execute("create schema platform.app")
        events.execute(
            "create table platform.app.log as select data_shared, * exclude (data_shared)"
            ' rename (timestamp as "event time", region as "Country"), 1 as shard from typed'
        )
    return project


SOURCE = {"database": "platform.duckdb", "schema": "app", "table": "log"}


def test_a_table_gives_the_events_of_the_seed_and_is_never_written(platform, built_project):
    """Rows arrive after the first build. Another reader has it open; a writer would be refused."""
    file = platform.root / "platform.duckdb"
    with duckdb.connect(file) as writer:
        writer.execute("create table app.late as from app.log where \"event time\" >= '2026-01-20'")
        writer.execute("delete from app.log where \"event time\" >= '2026-01-20'")
    build(platform, SOURCE, events_columns=MAPPED)
    with duckdb.connect(file) as writer:
        writer.execute("insert into app.log from app.late")
    with duckdb.connect(file, read_only=True):
        build(platform, SOURCE, events_columns=MAPPED)
    assert_same(public_rows(platform), public_rows(built_project))


def test_a_database_that_is_being_written_is_told_in_a_sentence(platform):
    with duckdb.connect(platform.root / "platform.duckdb"):
        result = platform.build(*variables(SOURCE, events_columns=MAPPED), is_parsed=True)
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert "The database platform.duckdb, which the var events_source names, is in use by" in output
    assert f"(PID {os.getpid()})" in output
    assert "Close that program, or" in output
    assert "Traceback" not in output and "Conflicting lock" not in output


def test_the_same_stored_values_under_another_type_are_judged_anew(new_project):
    """DuckDB's hash is of what is stored: labels of an enum and kinds of numbers are not in it."""
    project = new_project("stored")
    hashes = set()
    for status, labels, streams, result in [
        ("compliant", "'compliant', 'violation'", "true", "concurrent_streams_not_an_integer"),
        ("compliant", "'compliant', 'violation'", "1", "compliant 1"),
        ("violation", "'violation', 'compliant'", "1", "violation 1"),
    ]:
        with duckdb.connect(project.root / "platform.duckdb") as writer:
            writer.execute(
                f"create or replace table events as select * replace ({streams} as"
                f" concurrent_streams, '{status}'::enum({labels}) as status)"
                f" from read_csv('{project.events_file}') limit 1"
            )
            hashes |= {writer.sql("select hash(status, concurrent_streams) from events").fetchone()}
        build(project, {"database": "platform.duckdb", "schema": "main", "table": "events"})
        assert query(
            project,
            "select concat_ws(' ', status, concurrent_streams) from marts.fct_compliance_events"
            " union all select rejection_reasons from marts.quarantined_compliance_events",
        ) == [(result,)]
    assert len(hashes) == 1


def test_freshness_of_the_table_is_told(platform):
    limits = {"WARN": {}, "PASS": {"maximum_hours_since_last_event": 10_000_000}}
    for status, limit in limits.items():
        settings = variables(SOURCE, events_columns=MAPPED, **limit)
        result = platform.dbt("source", "freshness", *settings)
        assert result.returncode == 0, result.stdout
        assert f"{status} freshness of platform.compliance_events" in result.stdout


# --- Settings that cannot work --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events_source", "message"),
    [
        ("nowhere/*.parquet", "No file matches 'nowhere/*.parquet', which the var"),
        (SOURCE, "lacks the column(s) timestamp, region. It has: data_shared, event_id, event"),
        ({"database": "platform.duckdb", "schema": "app"},
         "The var events_source lacks table. A table is named by database, schema and table."),
        ({**SOURCE, "table": "logs"},
         "There is no table app.logs in platform.duckdb, which the var events_source names."),
        ({**SOURCE, "database": "nowhere.duckdb"},
         "There is no database 'nowhere.duckdb', which the var events_source names"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_told_in_a_sentence(platform, events_source, message):
    result = platform.build(
        *variables(events_source),
        # Whether the events are in a table decides what dbt parses.
        is_parsed=not isinstance(events_source, dict),
    )
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
    assert "Traceback" not in result.stdout
    assert "START" not in result.stdout, "something was built before the check"
    assert not (platform.root / "nowhere.duckdb").exists()
