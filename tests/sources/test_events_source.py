"""Events from files and tables: as from the seed, day by day, and a sentence when it cannot be."""

import json
import os

import duckdb
import pytest
from conftest import assert_same

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
GOOD = {
    "event_id": 1,
    "timestamp": "2026-01-02 10:00:00",
    "user_id": 7,
    "region": "EU",
    "regulation": "GDPR",
    "event_type": "login",
    "status": "compliant",
    "user_age": 30,
    "session_duration_minutes": 12.5,
    "concurrent_streams": 1,
    "data_shared": "none",
}


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


def released_by_whole_build(project, source, **others) -> dict[str, list[tuple]]:
    """Build, check and publish everything; returns the rows of the release."""
    before = {*project.releases.glob("2*")}
    result = project.build(*variables(source, **others))
    assert result.returncode == 0, result.stdout
    assert {*project.releases.glob("2*")} > before, result.stdout
    return released(project)


def query(project, sql: str) -> list[tuple]:
    with project.connect() as connection:
        return connection.sql(sql).fetchall()


def public_rows(project) -> dict[str, list[tuple]]:
    """The accepted and the rejected rows as they were built."""
    return {
        name: query(project, f"from marts.{name} order by all")
        for name in ("fct_compliance_events", "quarantined_compliance_events")
    }


def released(project) -> dict[str, list[tuple]]:
    """The rows of all tables of the release."""
    file = project.releases / "current" / "ott_compliance.duckdb"
    with duckdb.connect(file, read_only=True) as connection:
        tables = connection.sql(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
        return {
            name: connection.sql(f"from marts.{name} order by all").fetchall() for (name,) in tables
        }


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
            "update intermediate.int_checked_events set raw_region = 'marked'"
            " where rejection_reasons is null"
        ).fetchall()
    rows = released_by_whole_build(project, "data/*.parquet")
    assert_same(rows, released(built_project))
    left = "select count(*) from intermediate.int_checked_events where raw_region = 'marked'"
    assert query(project, left) == marked != [(0,)]


def test_each_parquet_file_counts_by_its_own_types(new_project, built_project):
    """A row in a file of other types is rejected by itself, and changes none of the others."""
    project = new_project("mixed_types")
    with seed_events(project) as events:
        events.execute(f"copy typed to '{project.root}/data/typed.parquet'")
        events.execute(
            "copy (select 16777217 as event_id, date '2026-01-02' as timestamp,"
            " cast(16777216 as float) as user_id, {code: 'EU'} as region, true as user_age,"
            " 1e0 as concurrent_streams, cast(0.1 as float) as session_duration_minutes,"
            " * exclude (event_id, timestamp, user_id, region, user_age, concurrent_streams,"
            f" session_duration_minutes) from typed limit 1) to '{project.root}/data/odd.parquet'"
        )
    build(project, "data/*.parquet")
    rows = public_rows(project)
    ((odd, *_, reasons),) = rows["quarantined_compliance_events"]
    assert (odd, reasons) == (
        "16777217",
        "timestamp_unreadable,user_id_not_an_integer,region_unknown,user_age_not_an_integer",
    )
    accepted = "fct_compliance_events"
    assert_same({"": rows[accepted]}, {"": public_rows(built_project)[accepted]})


# --- CSV and JSON ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv.gz", "jsonl"])
def test_text_files_give_the_events_of_the_seed(new_project, built_project, ending):
    """In two files of other columns, under names of their own."""
    project = new_project(ending)
    table, form = ("typed", "json") if ending == "jsonl" else ("text", "csv, header")
    parts = {
        "<": "data_shared, * exclude (data_shared) rename (region as Country)",
        ">=": """'#1' as "the ""app"", its version", * rename (region as Country)""",
    }
    with seed_events(project) as events:
        for number, (comparison, columns) in enumerate(parts.items()):
            events.execute(
                f"copy (select {columns} from {table} where timestamp {comparison} '2026-01-15')"
                f" to '{project.root}/data/{number}.{ending}' (format {form})"
            )
    build(project, f"data/*.{ending}", events_columns={"region": "Country"})
    assert_same(public_rows(project), public_rows(built_project))


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


def test_a_table_gives_the_marts_of_the_seed_and_is_never_written(platform, built_project):
    """Rows arrive after the first build. Another reader has it open; a writer would be refused."""
    file = platform.root / "platform.duckdb"
    with duckdb.connect(file) as writer:
        writer.execute("create table app.late as from app.log where \"event time\" >= '2026-01-20'")
        writer.execute("delete from app.log where \"event time\" >= '2026-01-20'")
    build(platform, SOURCE, events_columns=MAPPED)
    with duckdb.connect(file) as writer:
        writer.execute("insert into app.log from app.late")
    with duckdb.connect(file, read_only=True):
        rows = released_by_whole_build(platform, SOURCE, events_columns=MAPPED)
    assert_same(rows, released(built_project))


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
    good = ", ".join(f"'{value}' as {column}" for column, value in GOOD.items())
    hashes = set()
    for status, labels, streams, result in [
        ("compliant", "'compliant', 'violation'", "true", "concurrent_streams_not_an_integer"),
        ("compliant", "'compliant', 'violation'", "1", "compliant 1"),
        ("violation", "'violation', 'compliant'", "1", "violation 1"),
    ]:
        with duckdb.connect(project.root / "platform.duckdb") as writer:
            writer.execute(
                f"create or replace table events as select * replace ({streams} as"
                f" concurrent_streams, '{status}'::enum({labels}) as status) from (select {good})"
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
    ("events_source", "events_columns", "message"),
    [
        ("nowhere/*.parquet", {}, "No file matches 'nowhere/*.parquet', which the var"),
        (["a.csv", "b.csv"], {}, "No file matches 'a.csv', which the var events_source names"),
        ("lacking/second.parquet", {},
         "lacking/second.parquet lacks the column(s) region. It has: place, event_id,"),
        (SOURCE, {}, "lacks the column(s) timestamp, region. It has: data_shared, event_id, event"),
        ("seed", {"time": "event time"},
         "The var events_columns names time, which is no column of an event."),
        ({"database": "platform.duckdb", "schema": "app"}, {},
         "The var events_source lacks table. A table is named by database, schema and table."),
        ({**SOURCE, "table": "logs"}, {},
         "There is no table app.logs in platform.duckdb, which the var events_source names."),
        ({**SOURCE, "database": "nowhere.duckdb"}, {},
         "There is no database 'nowhere.duckdb', which the var events_source names"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_told_in_a_sentence(
    platform, events_source, events_columns, message
):
    lacking = platform.root / "lacking"
    lacking.mkdir(exist_ok=True)
    row = duckdb.sql("select " + ", ".join(f"{i} as {name}" for i, name in enumerate(GOOD)))
    row.write_parquet(str(lacking / "first.parquet"))
    # A field of another column is no column.
    row.select("{region: region} as place, * exclude (region)").write_parquet(
        str(lacking / "second.parquet")
    )
    result = platform.build(
        *variables(events_source, events_columns=events_columns),
        # Whether the events are in a table decides what dbt parses.
        is_parsed=not isinstance(events_source, dict),
    )
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
    assert "Traceback" not in result.stdout
    assert "START" not in result.stdout, "something was built before the check"
    assert not (platform.root / "nowhere.duckdb").exists()


# --- Values that are wrong or new -----------------------------------------------------------------

# What a typed column can hold, and the reason against it; ids of the rows count from 0.
TYPED_VALUES = [
    ("event_id", "0", None),
    ("event_id", "5.5", "event_id_not_an_integer"),
    ("event_id", "null", "event_id_missing"),
    ("timestamp", "null", "timestamp_missing"),
    ("timestamp", "'2026-02-01 00:00:00'", "timestamp_in_future"),
    ("timestamp", "'1999-12-31 23:59:59'", "timestamp_too_early"),
    ("timestamp", "'infinity'", "timestamp_in_future"),
    ("user_id", "'nan'", "user_id_not_an_integer"),
    ("user_id", "1e300", "user_id_not_an_integer"),
    ("region", "null", None),
    ("status", "null", "status_missing"),
    ("region", "' mars'", "region_unknown"),
    ("user_age", "null", None),
    ("user_age", "-1", "user_age_out_of_range"),
    ("user_age", "100", None),
    ("session_duration_minutes", "null", None),
    ("session_duration_minutes", "-0.5", "session_duration_minutes_negative"),
    ("session_duration_minutes", "'nan'", "session_duration_minutes_not_finite"),
    ("session_duration_minutes", "'inf'", "session_duration_minutes_not_finite"),
    ("session_duration_minutes", "44641.0", "session_duration_minutes_too_long"),
    ("concurrent_streams", "0", None),
    ("concurrent_streams", "-1", "concurrent_streams_negative"),
    ("concurrent_streams", "101", "concurrent_streams_too_many"),
    ("concurrent_streams", "null", None),
]


@pytest.fixture(scope="module")
def odd_events(new_project):
    """A project built from a good row, and one for each of the values."""
    project = new_project("odd_events")
    types = dict.fromkeys(GOOD, "varchar") | {
        "event_id": "double",
        "timestamp": "timestamp",
        "user_id": "double",
        "user_age": "integer",
        "session_duration_minutes": "double",
        "concurrent_streams": "decimal(10, 2)",
    }
    good = {column: f"'{value}'" for column, value in GOOD.items()}
    with seed_events(project) as events:
        events.execute(f"create table odd ({', '.join(map(' '.join, types.items()))})")
        for number, (column, value, _) in enumerate(TYPED_VALUES):
            row = good | {"event_id": str(number)} | {column: value}
            events.execute(f"insert into odd values ({', '.join(row.values())})")
        events.execute(f"copy odd to '{project.root}/data/odd.parquet'")
    build(project, "data/*.parquet")
    return project


def accepted_ids(project) -> set[int]:
    return {i for (i,) in query(project, "select event_id from marts.fct_compliance_events")}


def test_odd_values_of_typed_columns_have_their_reasons_and_stand_there_as_they_came(odd_events):
    reasons = [reason for *_, reason in TYPED_VALUES]
    assert accepted_ids(odd_events) == {i for i, reason in enumerate(reasons) if reason is None}
    texts = ", ".join(f"cast({column} as varchar)" for column in GOOD)
    rows = duckdb.sql(f"select {texts} from '{odd_events.root}/data/odd.parquet'").fetchall()
    rejected = [(*row, reason) for row, reason in zip(rows, reasons, strict=True) if reason]
    columns = ", ".join([*GOOD, "rejection_reasons"])
    found = query(odd_events, f"select {columns} from marts.quarantined_compliance_events")
    assert sorted(found, key=str) == sorted(rejected, key=str)


def test_days_are_judged_anew_when_a_reader_or_a_member_changes(odd_events):
    """Without a full refresh, as after an update of the project; numbers may be decimals."""
    before = accepted_ids(odd_events)
    readers = odd_events.root / "macros" / "input" / "read_text.sql"
    text = readers.read_text()
    reader = "case when {{ column }} = floor({{ column }}) then"
    assert reader in text
    readers.write_text(text.replace(reader, "case when {{ column }} = 0.5 then"))
    build(odd_events, "data/*.parquet")
    assert accepted_ids(odd_events) == {TYPED_VALUES.index(("concurrent_streams", "null", None))}

    readers.write_text(text)
    with (odd_events.root / "seeds" / "regions.csv").open("a") as regions:
        regions.write("MARS,6,Mars\n")
    build(odd_events, "data/*.parquet")
    with_mars = TYPED_VALUES.index(("region", "' mars'", "region_unknown"))
    assert accepted_ids(odd_events) == before | {with_mars}


def test_members_of_ones_own_take_part_once_the_seeds_name_them(new_project):
    """A region, a law and an event type are added: every check holds, and breakdowns have them.

    They may be written in capital or small letters, as may those of the events.
    """
    project = new_project("own_members")
    members = {
        "regions": "MäRS,6,Mars",
        "regulations": "MDPA,6,Martian Data Protection Act,Mars",
        "event_types": "landing,7,The user lands",
    }
    with seed_events(project) as events:
        events.execute(
            f"copy (select * replace ('Märs' as region, 'mdpa' as regulation,"
            f" 'Landing' as event_type) from typed where event_id % 5 = 0"
            f" union all from typed where event_id % 5 <> 0)"
            f" to '{project.root}/data/events.parquet'"
        )
    for seed, line in members.items():
        with (project.root / "seeds" / f"{seed}.csv").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    tables = released_by_whole_build(project, "data/*.parquet")
    own = [row for row in tables["fct_compliance_events"] if row[0] % 5 == 0]
    assert own
    for column, member in {"region": "MäRS", "regulation": "MDPA", "event_type": "landing"}.items():
        rows = tables[f"compliance_by_{column}"]
        assert any(member in row and len(own) in row for row in rows)
