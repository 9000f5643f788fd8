"""The same models on Spark: in dbt's own process, and on a cluster through its Thrift server."""

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import duckdb
import pytest
from conftest import PROJECT, assert_same, clean_environment

SPARK = PROJECT / ".venv" / "spark" / "bin"

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not (SPARK / "dbt").exists(), reason="Spark is not installed (make spark)"),
    pytest.mark.skipif(
        not (shutil.which("java") or os.environ.get("JAVA_HOME")), reason="there is no Java"
    ),
]

SESSION = """
import json, sys
from pyspark.sql import SparkSession

settings = {
    "spark.master": "local[1]",
    "spark.ui.enabled": "false",
    "spark.log.level": "OFF",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.warehouse.dir": "spark-warehouse",
    "spark.hadoop.javax.jdo.option.ConnectionURL": (
        "jdbc:derby:;databaseName=spark-warehouse/metastore;create=true"
    ),
    "spark.driver.extraJavaOptions": "-Dderby.stream.error.file=spark-warehouse/derby.log",
}
spark = SparkSession.builder.enableHiveSupport().config(map=settings).getOrCreate()
"""
# Reads all tables of a schema as a client does, and writes them where DuckDB can read them.
COPY_TABLES = f"""{SESSION}
schema, folder = sys.argv[1:]
for table in spark.catalog.listTables(schema):
    spark.table(f"{{schema}}.{{table.name}}").coalesce(1).write.parquet(f"{{folder}}/{{table.name}}")
if spark.catalog.tableExists(f"{{schema}}.compliance_by_region"):
    for column in spark.catalog.listColumns(f"{{schema}}.compliance_by_region"):
        print(column.name, column.description, sep=": ")
"""
# Reads one folder after the other by the same words; prints what is found, or how it fails.
READ_FOLDERS = f"""{SESSION}
words, *folders = sys.argv[1:]
found = {{}}
for folder in folders:
    try:
        # One column of them all: Spark would leave the others unread.
        rows = spark.sql(f"select event_id from {{words.replace('FOLDER', folder)}}").collect()
        found[folder] = sorted(str(row.event_id) for row in rows)
    except Exception as error:
        found[folder] = str(error)
print("", json.dumps(found), sep="\\n")
"""
QUERY = """
import os, sys
from pyhive import hive

cursor = hive.connect(host="127.0.0.1", port=int(os.environ["OTT_SPARK_PORT"])).cursor()
cursor.execute(sys.argv[1])
print(cursor.fetchall())
"""


def run(project, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a program of the environment with Spark in a copy of the project."""
    program, *arguments = command
    return subprocess.run(
        [SPARK / program, *arguments],
        cwd=project.root,
        env={**clean_environment(), **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=1800,
    )


def build(project, *arguments: str, target: str = "spark", **environment: str):
    """Build on Spark, as a user whose machine is in another time zone."""
    return run(
        project, "dbt", "--no-use-colors", "build", "--target", target, *arguments,
        TZ="Asia/Tokyo", **environment,
    )  # fmt: skip


def copy_tables(project, schema: str, folder: Path) -> str:
    """Copy all tables of a schema of Spark to Parquet files; returns the comments of one."""
    result = run(project, "python", "-c", COPY_TABLES, schema, str(folder))
    assert result.returncode == 0, result.stdout
    return result.stdout


def public_models(project) -> list[str]:
    manifest = json.loads((project.root / "target" / "manifest.json").read_text())
    return sorted(
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["access"] == "public"
    )


def assert_same_marts(on_spark, on_duckdb, folder: Path) -> str:
    """Both builds have the same marts: columns, rows. Returns the comments of one on Spark."""
    comments = copy_tables(on_spark, "marts", folder)
    names = public_models(on_duckdb)
    assert sorted(path.name for path in folder.iterdir()) == names
    actual, expected = {}, {}
    with on_duckdb.connect() as connection:
        connection.sql("set TimeZone = 'UTC'")
        for name in names:
            columns = connection.sql(f"describe marts.{name}").fetchall()
            files = f"read_parquet('{folder}/{name}/*.parquet')"
            found = [
                # Spark's timestamps are moments.
                (column, kind.removesuffix(" WITH TIME ZONE"))
                for column, kind, *_ in connection.sql(f"describe from {files}").fetchall()
            ]
            assert found == [(column, kind) for column, kind, *_ in columns], name
            # Keys first: floats may differ in their last digit.
            keys_first = sorted(found, key=lambda column: column[1] == "DOUBLE")
            order = ", ".join(f'"{column}"' for column, _ in keys_first)
            casts = ", ".join(f'cast("{column}" as {kind})' for column, kind in found)
            expected[name] = connection.sql(f"from marts.{name} order by {order}").fetchall()
            rows = connection.sql(f"select {casts} from {files} order by {order}")
            actual[name] = rows.fetchall()
    assert_same(actual, expected)
    return comments


@pytest.fixture(scope="module")
def seed_on_spark(new_project):
    """A whole build of the committed seed on Spark."""
    project = new_project("spark")
    return project, build(project)


@pytest.fixture(scope="module")
def dirty_on_spark(seed_on_spark):
    """The project with dirty events in place of the seed, and their first build, which fails."""
    project, _ = seed_on_spark
    project.generate_events("--scenario", "dirty", "--defect-rate", "0.1")
    return project, build(project)


def test_seed_gives_the_same_marts(seed_on_spark, built_project, tmp_path):
    project, result = seed_on_spark
    assert result.returncode == 0, result.stdout
    assert f"Published {len(public_models(built_project))} marts as marts_release_" in result.stdout
    comments = assert_same_marts(project, built_project, tmp_path / "marts")
    assert "events: Number of accepted events; zero where nothing happened." in comments


def test_a_build_that_fails_leaves_the_marts_as_they_were(dirty_on_spark, built_project, tmp_path):
    project, result = dirty_on_spark
    assert result.returncode != 0
    for said in ("are quarantined", "Nothing published: ", "Still served: release marts_release_"):
        assert said in result.stdout
    assert_same_marts(project, built_project, tmp_path / "marts")


def test_dirty_events_built_by_days_give_the_same_marts(dirty_on_spark, new_project, tmp_path):
    """The build before left the days of the seed behind, each of which has changed."""
    project, _ = dirty_on_spark
    arguments = ("--exclude", "test_type:unit", "--vars", "{maximum_quarantined_share: 0.5}")
    on_duckdb = new_project("dirty_on_duckdb")
    shutil.copy(project.events_file, on_duckdb.events_file)
    for result in (build(project, *arguments), on_duckdb.dbt("build", *arguments)):
        assert result.returncode == 0, result.stdout
    assert_same_marts(project, on_duckdb, tmp_path / "marts")


# --- Files ----------------------------------------------------------------------------------------

# Events of four days as a data platform would have them, and the files that they come in.
TYPED = """
    create table events as
    select
        cast(event_id as bigint) as event_id,
        cast(timestamp as timestamp) as timestamp,
        cast(user_id as double) as user_id,
        region, regulation, event_type, status,
        cast(user_age as integer) as user_age,
        cast(session_duration_minutes as double) as session_duration_minutes,
        cast(concurrent_streams as bigint) as concurrent_streams,
        data_shared,
        case day(cast(timestamp as timestamp))
            when 12 then 'second' when 13 then 'third' else 'first'
        end as file
    from read_csv('{seed}', all_varchar = true)
    where cast(timestamp as date) between '2026-01-10' and '2026-01-13'
"""
# What a row of 12 January is changed to, and the reason against it.
ODD_VALUES = {
    "region = ' mars'": "region_unknown",
    "status = null": "status_missing",
    "user_age = 121": "user_age_out_of_range",
    "session_duration_minutes = -0.5": "session_duration_minutes_negative",
    "session_duration_minutes = 12345678.25": "session_duration_minutes_too_long",
    "session_duration_minutes = 'nan'": "session_duration_minutes_not_finite",
    "timestamp = '2026-02-01 00:00:00.25'": "timestamp_in_future",
    "timestamp = '1999-12-31 23:59:59'": "timestamp_too_early",
    "timestamp = null": "timestamp_missing",
    "event_id = null": "event_id_missing",
    "user_id = 1e300": "user_id_not_an_integer",
    "user_id = 7.5": "user_id_not_an_integer",
    "concurrent_streams = -1": "concurrent_streams_negative",
    "concurrent_streams = 9223372036854775807": "concurrent_streams_too_many",
}
# Engines write doubles differently, 1e+300 and 1.0E300, nan and NaN: they are compared as numbers.
NUMBERS = """replace (
    cast(user_id as double) as user_id,
    cast(session_duration_minutes as double) as session_duration_minutes
)"""
EVENTS = {"fct_compliance_events": "", "quarantined_compliance_events": NUMBERS}


def select_events(folder: Path) -> tuple[str, ...]:
    """Arguments to build the accepted and the rejected events of a folder, without tests."""
    settings = {"events_source": f"{folder}/*.parquet", "maximum_quarantined_share": 1}
    return (
        "--resource-type", "seed", "--resource-type", "model",
        "--select", "+fct_compliance_events", "--vars", json.dumps(settings),
    )  # fmt: skip


def assert_same_events(on_spark, on_duckdb, copies: Path) -> None:
    """The accepted and the rejected rows are the same, those with null ids and copies, too."""
    copy_tables(on_spark, "marts_build", copies)
    with on_duckdb.connect() as connection:
        connection.sql("set TimeZone = 'UTC'")
        for name, replace in EVENTS.items():
            columns = connection.sql(f"describe marts.{name}").fetchall()
            casts = ", ".join(
                f"cast({column} as {kind}) as {column}" for column, kind, *_ in columns
            )
            copy = f"(select {casts} from read_parquet('{copies}/{name}/*.parquet'))"
            expected, actual = (
                connection.sql(f"select * {replace} from {table} order by all").fetchall()
                for table in (f"marts.{name}", copy)
            )
            # As text, in which nan is the same as nan.
            assert [*map(repr, actual)] == [*map(repr, expected)], name


def files_of_days(project) -> dict[str, dict[str, int]]:
    """The files of each day of the checked events, and when they were written."""
    days = project.root / "spark-warehouse" / "intermediate.db" / "int_checked_events"
    written = {day.name.partition("=")[2]: {} for day in days.glob("source_date=*")}
    for file in days.glob("source_date=*/*.parquet"):
        written[file.parent.name.partition("=")[2]][file.name] = file.stat().st_mtime_ns
    return written


@pytest.fixture(scope="module")
def files_on_spark(new_project):
    """A project that nothing was built in before."""
    return new_project("files_on_spark")


@pytest.fixture
def events():
    """The table `events` with good rows and rows of each kind of odd ones."""
    with duckdb.connect() as connection:
        connection.execute(TYPED.format(seed=PROJECT / "seeds" / "raw_compliance_events.csv"))
        ids = connection.sql("select event_id from events where file = 'second' order by all")
        ids = [event_id for (event_id,) in ids.fetchall()]
        for change in ODD_VALUES:
            connection.execute(f"update events set {change} where event_id = {ids.pop()}")
        # An exact copy, an id with other values on the same day, and one on two days.
        for values in (
            "event_id as event_id",
            "concurrent_streams + 1 as concurrent_streams",
            "timestamp - interval 1 day as timestamp",
        ):
            copied = f"select * replace ({values}) from events where event_id = {ids.pop()}"
            connection.execute(f"insert into events {copied}")
        yield connection


def test_typed_files_give_the_same_events_and_only_changed_days_are_written(
    files_on_spark, new_project, events, tmp_path
):
    on_spark, on_duckdb = files_on_spark, new_project("files_on_duckdb")
    folder = tmp_path / "some events"
    folder.mkdir()

    def write(file: str, columns: str = "*") -> None:
        events.execute(
            f"copy (with rows as (select * exclude (file) from events where file = '{file}')"
            f" select {columns} from rows) to '{folder}/{file}.parquet'"
        )

    def built(*arguments: str) -> dict[str, dict[str, int]]:
        result = build(on_spark, *select_events(folder), *arguments)
        assert result.returncode == 0, result.stdout
        return files_of_days(on_spark)

    def assert_like_duckdb(copies: str) -> None:
        result = on_duckdb.dbt("build", *select_events(folder))
        assert result.returncode == 0, result.stdout
        assert_same_events(on_spark, on_duckdb, tmp_path / copies)

    write("first")
    write("second", "data_shared, user_age, * exclude (data_shared, user_age)")
    first = built()
    assert {*first} == {
        "1900-01-01", "1999-12-31", "2026-01-10", "2026-01-11", "2026-01-12", "2026-02-01"
    }  # fmt: skip
    assert_like_duckdb("first copies")
    with on_duckdb.connect() as connection:
        found = connection.sql(
            "select rejection_reasons from marts.quarantined_compliance_events order by all"
        ).fetchall()
    expected = [*ODD_VALUES.values(), *["event_id_conflicting"] * 4]
    assert [reasons for (reasons,) in found] == sorted(expected)

    # One row of a day changes, and another day arrives.
    events.execute(
        "update events set region = 'venus' where event_id ="
        " (select min(event_id) from events where timestamp::date = '2026-01-12')"
    )
    write("second", "status, * exclude (status)")
    write("third")
    second = built()
    assert {*second} == {*first, "2026-01-13"}
    for day, files in first.items():
        if day == "2026-01-12":
            assert not {*second[day]} & {*files}
        else:
            assert second[day] == files, f"{day} was written again"
    assert_like_duckdb("second copies")

    assert built("--exclude", "marts", "resource_type:seed") == second, (
        "something was written though nothing had changed"
    )


CSV = "event_id,region,status,app\n1,EU,good,a\n2,US,good,b\n"
# What a second file holds, and what is said of it; a list of the ids where all is well.
SECOND_FILES = {
    "event_id,region,status,app\n3,EU,bad,a\n": [1, 2, 3],
    'EVENT_ID,region,Status,app\r\n#3,"a, ""b"" \\",bad,a\r\n\r\n,,,\r\n': [None, "#3", 1, 2],
    "\ufeffevent_id,region,status,app\nevent_id,region,status,app\n": [1, 2, "event_id"],
    "event_id,status,region,app\n3,bad,EU,a\n": "Header: event_id, status, region, app",
    "event_id,region,status,app,more\n3,EU,bad,a,b\n": "Number of column in CSV header",
    "event_id,region,status\n3,EU,bad\n": "Number of column in CSV header",
    "event_id,region,status,other\n3,EU,bad,a\n": "Header: event_id, region, status, other",
    "3,EU,bad,a\n": "Header: 3, EU, bad, a",
    "event_id,region,status,app\n3,EU,bad\n4,EU,bad,a\n": "Malformed CSV record: 3,EU,bad",
    "event_id,region,status,app\n3,EU,bad,a,b\n": "Malformed CSV record: 3,EU,bad,a,b",
    'event_id,region,status,app\n3,"EU,bad,a\n4,EU,bad,a\n': 'Malformed CSV record: 3,"EU,bad,a',
    'event_id,region,status,app\n3,EU,bad,"a\n4,EU,bad,a\n': [1, 2, 3, 4],
    'event_id,region,status,app\n3,EU,"b\nad",a\n4,EU,bad,a\n': 'Malformed CSV record: 3,EU,"b',
    "event_id;region;status;app\n3;EU;bad;a\n": "Number of column in CSV header",
}


def test_csv_files_and_rows_of_another_form_stop_the_reading(files_on_spark, tmp_path):
    """No row is lost or read as something else, whatever columns a query needs."""
    words = run(
        files_on_spark, "dbt", "--quiet", "compile", "--target", "spark",
        "--no-introspect", "--no-populate-cache",
        "--inline", "{{ read_files('FOLDER/*.csv') }}",
    ).stdout.splitlines()[-1]  # fmt: skip
    folders = {}
    for number, content in enumerate(SECOND_FILES):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.csv").write_text(CSV)
        (folder / "b.csv").write_bytes(content.encode())
        folders[str(folder)] = content
    result = run(files_on_spark, "python", "-c", READ_FOLDERS, words, *folders)
    assert result.returncode == 0, result.stdout
    found = json.loads(result.stdout.splitlines()[-1])
    for folder, content in folders.items():
        expected = SECOND_FILES[content]
        if isinstance(expected, list):
            assert found[folder] == sorted(map(str, expected)), content
        else:
            assert expected in found[folder], content


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("lacking/*.jsonl", "Spark cannot read 'lacking/*.jsonl', which the var events_source"),
        (
            "lacking/*.parquet",
            "b b.parquet lacks the column(s) region, data_shared. It has: event_id,",
        ),
        ("nowhere/*.parquet", "nowhere/*.parquet"),
    ],
    ids=["json", "one of two Parquet files lacks columns", "no file"],
)
def test_files_that_spark_cannot_read_are_told_in_a_sentence(
    files_on_spark, events, source, message
):
    folder = files_on_spark.root / "lacking"
    folder.mkdir(exist_ok=True)
    for file, left_out in (("a+a", "file"), ("b b", "file, region, data_shared")):
        columns = f"select * exclude ({left_out}) from events"
        events.execute(f"copy ({columns}) to '{folder}/{file}.parquet'")
    variables = json.dumps({"events_source": source})
    result = build(files_on_spark, "--select", "base_compliance_events", "--vars", variables)
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
    assert "START" not in result.stdout, "something was built before the check"


def cluster_command(project, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return run(project, "python", "scripts/ott", "spark-cluster", *arguments, **environment)


@pytest.fixture(scope="module")
def cluster(new_project):
    """A cluster of two workers that is stopped whatever happens: its project, and its port."""
    project = new_project("cluster")
    with socket.socket() as master, socket.socket() as thrift:
        for free in (master, thrift):
            free.bind(("127.0.0.1", 0))
        master_port, port = (str(free.getsockname()[1]) for free in (master, thrift))
    ports = ("--master-port", master_port, "--thrift-port", port)
    try:
        result = cluster_command(project, "start", "--memory", "1g", *ports)
        assert result.returncode == 0, result.stdout
        yield project, port
    finally:
        stopped = cluster_command(project, "stop")
    assert stopped.stdout == "The cluster is stopped.\n"
    assert cluster_command(project, "status").stdout == "There is no cluster.\n"
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", int(port))) != 0


def test_cluster_builds_and_answers(cluster, built_project):
    project, port = cluster
    assert "runs" in cluster_command(project, "status").stdout
    result = build(project, target="spark_thrift", OTT_SPARK_PORT=port)
    assert result.returncode == 0, result.stdout
    query = "select region, events, violation_events from marts.compliance_by_region order by 1"
    answer = run(project, "python", "-c", QUERY, query, OTT_SPARK_PORT=port)
    with built_project.connect() as connection:
        assert answer.stdout.splitlines()[-1] == str(connection.sql(query).fetchall())


@pytest.mark.skipif(not shutil.which("ss"), reason="there is no `ss`, which lists open ports")
def test_cluster_cannot_be_reached_from_other_machines(cluster):
    project, _ = cluster
    state = (project.root / "target" / "spark-cluster" / "cluster.json").read_text()
    groups = {str(process["pid"]) for process in json.loads(state)["processes"].values()}
    processes, sockets = (
        subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        for command in (["ps", "-eo", "pid=,pgid="], ["ss", "-ltnpH"])
    )
    members = {f"pid={pid}," for pid, group in map(str.split, processes) if group in groups}
    addresses = {
        line.split()[3].rsplit(":", 1)[0]
        for line in sockets
        if any(member in line for member in members)
    }
    assert addresses
    assert addresses <= {"127.0.0.1", "[::ffff:127.0.0.1]"}


def test_cluster_says_what_is_missing(new_project, tmp_path):
    project = new_project("nothing")
    without_java = cluster_command(project, "start", JAVA_HOME=str(tmp_path))
    assert without_java.returncode == 1
    assert "There is no Java here. Install Java 17" in without_java.stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = cluster_command(project, "start", "--thrift-port", port)
    assert result.returncode == 1
    assert f"Port {port} is taken." in result.stdout
    assert cluster_command(project, "stop").stdout == "There is no cluster to stop.\n"
