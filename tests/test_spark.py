"""The same models on Spark: in dbt's own process, and on a cluster through its Thrift server."""

import json
import math
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import PROJECT, clean_environment

SPARK = PROJECT / ".venv" / "spark" / "bin"

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not (SPARK / "dbt").exists(), reason="Spark is not installed (make spark)"),
    pytest.mark.skipif(
        not (shutil.which("java") or os.environ.get("JAVA_HOME")), reason="there is no Java"
    ),
]

# Reads all tables of a schema as a client does, and writes them where DuckDB can read them.
COPY_TABLES = """
import sys
from pyspark.sql import SparkSession

schema, folder = sys.argv[1:]
settings = {
    "spark.master": "local[1]",
    "spark.ui.enabled": "false",
    "spark.log.level": "ERROR",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.warehouse.dir": "spark-warehouse",
    "spark.hadoop.javax.jdo.option.ConnectionURL": (
        "jdbc:derby:;databaseName=spark-warehouse/metastore"
    ),
    "spark.driver.extraJavaOptions": "-Dderby.stream.error.file=spark-warehouse/derby.log",
}
spark = SparkSession.builder.enableHiveSupport().config(map=settings).getOrCreate()
for table in spark.catalog.listTables(schema):
    spark.table(f"{schema}.{table.name}").coalesce(1).write.parquet(f"{folder}/{table.name}")
for column in spark.catalog.listColumns(f"{schema}.compliance_by_region"):
    print(column.name, column.description, sep=": ")
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


def assert_same_marts(project, folder: Path) -> None:
    """The marts of a DuckDB build and the copies of those of Spark: same columns, same rows."""
    names = public_models(project)
    assert sorted(path.name for path in folder.iterdir()) == names
    with project.connect() as connection:
        connection.sql("set TimeZone = 'UTC'")
        for name in names:
            columns = connection.sql(f"describe marts.{name}").fetchall()
            floats = [column for column, kind, *_ in columns if kind == "DOUBLE"]
            others = [column for column, kind, *_ in columns if kind != "DOUBLE"]
            files = f"read_parquet('{folder}/{name}/*.parquet')"
            found = [
                # Spark's timestamps are moments.
                (column, kind.removesuffix(" WITH TIME ZONE"))
                for column, kind, *_ in connection.sql(f"describe from {files}").fetchall()
            ]
            assert found == [(column, kind) for column, kind, *_ in columns], name
            # Keys first: floats may differ in their last digit.
            order = ", ".join([f'"{column}"' for column in (*others, *floats)])
            casts = ", ".join(f'cast("{column}" as {kind})' for column, kind in found)
            expected = connection.sql(f"from marts.{name} order by {order}").fetchall()
            actual = connection.sql(f"select {casts} from {files} order by {order}").fetchall()
            assert len(actual) == len(expected), name
            for row, other in zip(actual, expected, strict=True):
                for value, other_value in zip(row, other, strict=True):
                    if isinstance(value, float) and isinstance(other_value, float):
                        assert math.isclose(value, other_value, rel_tol=1e-9, abs_tol=1e-12) or (
                            math.isnan(value) and math.isnan(other_value)
                        ), (name, row, other)
                    else:
                        assert value == other_value, (name, row, other)


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
    comments = copy_tables(project, "marts", tmp_path / "marts")
    assert_same_marts(built_project, tmp_path / "marts")
    assert "events: Number of accepted events; zero where nothing happened." in comments


def test_a_build_that_fails_leaves_the_marts_as_they_were(dirty_on_spark, built_project, tmp_path):
    project, result = dirty_on_spark
    assert result.returncode != 0
    assert "are quarantined" in result.stdout
    assert "Nothing published: " in result.stdout
    assert "Still served: release marts_release_" in result.stdout
    copy_tables(project, "marts", tmp_path / "marts")
    assert_same_marts(built_project, tmp_path / "marts")


def test_dirty_events_built_by_days_give_the_same_marts(dirty_on_spark, new_project, tmp_path):
    """The build before left the days of the seed behind, each of which has changed."""
    project, _ = dirty_on_spark
    arguments = ("--exclude", "test_type:unit", "--vars", "{maximum_quarantined_share: 0.5}")
    result = build(project, *arguments)
    assert result.returncode == 0, result.stdout
    copy_tables(project, "marts_build", tmp_path / "marts")
    on_duckdb = new_project("dirty_on_duckdb")
    shutil.copy(project.events_file, on_duckdb.events_file)
    result = on_duckdb.dbt("build", *arguments)
    assert result.returncode == 0, result.stdout
    assert_same_marts(on_duckdb, tmp_path / "marts")


def free_ports(number: int) -> list[str]:
    sockets = [socket.socket() for _ in range(number)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [str(free.getsockname()[1]) for free in sockets]
    for free in sockets:
        free.close()
    return ports


@pytest.fixture(scope="module")
def cluster(new_project):
    """A cluster of two workers that is stopped whatever happens: its project, and its port."""
    project = new_project("cluster")
    master_port, thrift_port = free_ports(2)
    script = ("python", "scripts/spark_cluster.py")
    try:
        result = run(
            project, *script, "start", "--memory", "1g",
            "--master-port", master_port, "--thrift-port", thrift_port,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout
        yield project, thrift_port
    finally:
        stopped = run(project, *script, "stop")
    assert stopped.stdout == "The cluster is stopped.\n"
    assert run(project, *script, "status").stdout == "There is no cluster.\n"
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", int(thrift_port))) != 0


def listening_addresses(folder: Path) -> set[str]:
    """Addresses on which the processes of a cluster listen."""
    groups = {
        str(process["pid"])
        for process in json.loads((folder / "cluster.json").read_text())["processes"].values()
    }
    processes = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True).stdout
    members = {pid for pid, group in map(str.split, processes.splitlines()) if group in groups}
    lines = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout.splitlines()
    return {
        line.split()[3].rsplit(":", 1)[0]
        for line in lines
        if any(f"pid={pid}," in line for pid in members)
    }


def test_cluster_builds_and_answers(cluster, built_project):
    project, port = cluster
    assert "runs" in run(project, "python", "scripts/spark_cluster.py", "status").stdout
    result = build(project, target="spark_thrift", OTT_SPARK_PORT=port)
    assert result.returncode == 0, result.stdout
    query = "select region, events, violation_events from marts.compliance_by_region order by 1"
    answer = run(project, "python", "-c", QUERY, query, OTT_SPARK_PORT=port)
    with built_project.connect() as connection:
        assert answer.stdout.splitlines()[-1] == str(connection.sql(query).fetchall())


@pytest.mark.skipif(not shutil.which("ss"), reason="there is no `ss`, which lists open ports")
def test_cluster_cannot_be_reached_from_other_machines(cluster):
    project, _ = cluster
    addresses = listening_addresses(project.root / "target" / "spark-cluster")
    assert addresses
    assert addresses <= {"127.0.0.1", "[::ffff:127.0.0.1]"}


def test_cluster_says_what_is_missing(new_project, tmp_path):
    script = ("python", "scripts/spark_cluster.py")
    project = new_project("nothing")
    without_java = run(project, *script, "start", JAVA_HOME=str(tmp_path))
    assert without_java.returncode == 1
    assert "There is no Java here. Install Java 17" in without_java.stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = run(project, *script, "start", "--thrift-port", port)
    assert result.returncode == 1
    assert f"Port {port} is taken." in result.stdout
    assert run(project, *script, "stop").stdout == "There is no cluster to stop.\n"
