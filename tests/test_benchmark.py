"""The benchmark compares like with like: every engine makes the tables that the project makes.

Keys, counts and text must be equal, other numbers agree to nine digits.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import psutil
import pytest
from conftest import PROJECT

from ott.lab.benchmark import by_hand, inputs, with_pandas, with_polars
from ott.lab.benchmark.engines import WITHOUT_TESTS, Bench, steps_of
from ott.lab.benchmark.measure import measure
from ott.lab.benchmark.summary import SAMPLE, as_markdown, summarize

OTT = PROJECT / "scripts" / "ott"

# Copies and conflicts at once, rows without an id that are equal, and values at and beyond limits.
MORE_DEFECTS = """
with day as (
    select * from '{day}' where event_id is not null and region in ('US', 'EU', 'ASIA', 'LATAM')
),

chosen as (
    select *, row_number() over (order by event_id) as number from day
)

select * exclude (number) from chosen where number <= 2
union all by name
select * exclude (number) replace ('AFRICA' as region) from chosen where number = 1
union all by name
select * exclude (number) replace (null as event_id) from chosen where number = 3
union all by name
select * exclude (number) replace (null as event_id) from chosen where number = 3
union all by name
select * exclude (number)
replace (-event_id as event_id, 'inf'::double as session_duration_minutes)
from chosen where number = 4
union all by name
select * exclude (number)
replace (-event_id as event_id, '-inf'::double as session_duration_minutes)
from chosen where number = 5
union all by name
select * exclude (number) replace (-event_id as event_id, 44640.0 as session_duration_minutes)
from chosen where number = 6
union all by name
select * exclude (number)
replace (-event_id as event_id, 120 as user_age, 100 as concurrent_streams)
from chosen where number = 7
union all by name
select * exclude (number)
replace (
    -event_id as event_id, 'rewind' as event_type, ' Some ' as data_shared,
    101 as concurrent_streams
)
from chosen where number = 8
union all by name
select
    null as event_id, null as timestamp, null as user_id, null as region, null as regulation,
    null as event_type, null as status, null as user_age, null as session_duration_minutes,
    null as concurrent_streams, null as data_shared
"""


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> str:
    """A glob of daily files of realistic events with every defect."""
    folder = tmp_path_factory.mktemp("events")
    events = inputs.prepare(folder, 20_000, seed=7, days=20, say=lambda text: None)
    day = events.days()[3]
    with duckdb.connect() as connection:
        connection.execute(
            f"copy ({MORE_DEFECTS.format(day=day)}) to '{day.with_name('day-more.parquet')}'"
        )
    return str(day.with_name("day-*.parquet"))


# Lists of the registry, and the one table of all breakdowns.
NOT_MADE = ("dimensions", "rejection_reasons", "compliance_by_member")


def all_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Names and types of the columns of every table of the schema marts."""
    rows = connection.execute(
        """
        select table_name, column_name, data_type
        from information_schema.columns
        where table_schema = 'marts'
        order by table_name, ordinal_position
        """
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        if table not in NOT_MADE:
            tables.setdefault(table, {})[column] = kind
    return tables


@pytest.fixture(scope="module")
def built(new_project, events):
    """The marts that the project makes of the events."""
    project = new_project("benchmark")
    result = project.build(*WITHOUT_TESTS, "--vars", json.dumps({"events_source": events}))
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        yield connection


@pytest.fixture(scope="module", params=["by hand", "pandas", "polars"])
def other(request, events, tmp_path_factory):
    """The marts made by other means."""
    folder = tmp_path_factory.mktemp("tables")
    if request.param == "by hand":
        by_hand.build(events, folder / "by_hand.duckdb")
        connection = duckdb.connect(folder / "by_hand.duckdb", read_only=True)
    else:
        {"pandas": with_pandas, "polars": with_polars}[request.param].build(events, folder)
        connection = duckdb.connect()
        connection.execute("create schema marts")
        for file in folder.glob("*.parquet"):
            connection.execute(f"create view marts.{file.stem} as from '{file}'")
    with connection:
        yield connection


def test_other_means_make_the_same_tables(built, other):
    assert {name: list(columns) for name, columns in all_tables(other).items()} == {
        name: list(columns) for name, columns in all_tables(built).items()
    }


def test_other_means_make_the_same_figures(built, other):
    for table, types in all_tables(built).items():
        numbers = [column for column, kind in types.items() if kind == "DOUBLE"]
        exact = [column for column in types if column not in numbers]
        query = f"select {', '.join(exact + numbers)} from marts.{table} order by " + (
            ", ".join(exact) or "all"
        )
        wanted, found = built.sql(query).fetchall(), other.sql(query).fetchall()
        assert len(found) == len(wanted) > 0, table
        for row, wanted_row in zip(found, wanted, strict=True):
            assert row[: len(exact)] == wanted_row[: len(exact)], table
            for column, value, wanted_value in zip(
                numbers, row[len(exact) :], wanted_row[len(exact) :], strict=True
            ):
                assert (value is None) == (wanted_value is None), (table, column, row, wanted_row)
                assert value is None or math.isclose(
                    value, wanted_value, rel_tol=1e-9, abs_tol=1e-12
                ), (table, column, row, wanted_row)


def test_by_hand_makes_the_same_types(built, events, tmp_path):
    by_hand.build(events, tmp_path / "by_hand.duckdb")
    with duckdb.connect(tmp_path / "by_hand.duckdb", read_only=True) as connection:
        assert all_tables(connection) == all_tables(built)


def test_events_have_every_defect_that_typed_columns_can(built):
    found = built.sql(
        "select rejection_reason from marts.quarantine_by_rejection_reason"
        " where quarantined_rows = 0"
    ).fetchall()
    assert {reason for (reason,) in found} == {
        # Only text can be unreadable.
        "event_id_not_an_integer",
        "timestamp_unreadable",
        "user_id_not_an_integer",
        "user_age_not_an_integer",
        "session_duration_minutes_not_a_number",
        "concurrent_streams_not_an_integer",
    }


# --- Measuring -----------------------------------------------------------------------------------


def test_memory_of_child_processes_counts(tmp_path):
    program = "import time; x = 200_000_000 * b'x'; time.sleep(1)"
    # The shell stays, as it has something left to do.
    command = ["sh", "-c", f'"$0" -c "{program}"; true', sys.executable]
    measured = measure(command, tmp_path, os.environ, tmp_path / "log")
    assert measured.exit_code == 0
    assert measured.seconds > 1
    assert 200e6 < measured.peak_bytes < 500e6


def test_output_and_exit_code_are_kept(tmp_path):
    measured = measure(
        ["sh", "-c", "echo out; echo error >&2; exit 3"], tmp_path, os.environ, tmp_path / "log"
    )
    assert measured.exit_code == 3
    assert (tmp_path / "log").read_text() == "out\nerror\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_end_from_outside_leaves_no_process_behind(tmp_path, sent):
    """A run of hours is stopped in the middle; the measured command has children of its own."""
    marker = "3456.789"
    program = f"""
import os, signal, sys
from pathlib import Path
from ott.lab.benchmark.measure import measure
signal.signal(signal.SIGTERM, signal.default_int_handler)
command = ["sh", "-c", "sleep {marker} & sleep {marker}"]
measure(command, Path(sys.argv[1]), os.environ, Path(sys.argv[1]) / "log")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts")},
        stderr=subprocess.DEVNULL,
    )

    def sleepers() -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if child.name() == "sleep"
        ]

    def runs(child: psutil.Process) -> bool:
        """In a container nobody may collect the exit code of an orphan: it stays, as a zombie."""
        try:
            return child.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + 300
    while len(found := sleepers()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(sent)
    assert process.wait(300) != 0
    assert not [child for child in found if runs(child)]


# --- Ratios and goals ----------------------------------------------------------------------------


def run(step: str, events: int, seconds: float, gigabytes: float = 1, **details: float) -> dict:
    return {
        "step": step,
        "events": events,
        "round": 1,
        "seconds": seconds,
        "peak_bytes": gigabytes * 1e9,
        "memory_limit": None,
        "details": {"nodes": 50, **details},
        "problem": None,
    }


def test_fixed_costs_and_publishing_are_taken_off():
    large = 10_000_000
    result = {
        "started_at": "2026-02-01T12:00:00+00:00",
        "arguments": {"repeat": 1, "memory_limit": None},
        "machine": {
            "cores": 2,
            "processor": "fast",
            "memory_bytes": 2**34,
            "system": "Linux",
            "versions": {"duckdb": "1"},
            "commit": "abc",
        },
        "inputs": {str(large): {"rows": 9, "next_rows": 1, "users": 3, "bytes": 10**6}},
        "sizes": [large],
        "runs": [
            run("parse", SAMPLE, 4),
            run("dbt", SAMPLE, 21, publishing_seconds=1),
            run("dbt-no-tests", SAMPLE, 14),
            run("sql", SAMPLE, 1),
            run("pandas", SAMPLE, 2),
            run("dbt", large, 40, gigabytes=2, publishing_seconds=10, is_published=True),
            run("dbt-no-tests", large, 26),
            run("sql", large, 11),
            run("pandas", large, 60, gigabytes=5),
        ],
    }
    summary = result["summary"] = summarize(result)
    found = {
        (row["comparison"], row["how"]): (row["ratio"], row["is_kept"])
        for row in summary["comparisons"]
    }
    assert found[("time, (b) to (c)", "as measured")] == (26 / 11, None)
    assert found[("time, (b) to (c)", "fixed costs off both")] == ((26 - 14) / (11 - 1), True)
    assert found[("time, (d) to (a)", "as measured")] == (60 / 40, False)
    assert found[("time, (d) to (a)", "publishing off")] == (60 / 30, None)
    assert found[("memory, (a) to (d)", "peak")] == (2 / 5, False)
    assert summary["start_up"]["dbt-no-tests per node"] == (14 - 4) / 50
    lines = as_markdown(result).splitlines()
    assert "| (a) `dbt build` with all tests, and publishing | 40.0 | 10.0 | 2.00 |" in lines
    assert "| (b) less start-up, per node | 200 ms x 50 |" in lines
    assert "| time, (b) to (c) | fixed costs off both | 10M | 1.20 | at most 1.3 | kept |" in lines
    assert "| memory, (a) to (d) | peak | 10M | 0.40 | at most 0.33 | missed |" in lines


def test_failed_runs_count_for_nothing():
    good = [run("sql", size, 1.0 + size) for size in (SAMPLE, 20_000)]
    bad = [
        run("dbt-no-tests", SAMPLE, 3.0),
        run("dbt-no-tests", 20_000, 5.0) | {"problem": "exit code 1"},
    ]
    assert summarize({"sizes": [20_000], "runs": good + bad})["comparisons"] == []


def test_increments_follow_a_full_build():
    assert steps_of(["increment"]) == [
        "dbt-no-tests",
        "dbt-no-tests-unchanged",
        "dbt-no-tests-one-day",
    ]
    assert steps_of(["sql", "increment", "dbt"]) == [
        "dbt",
        "dbt-unchanged",
        "dbt-one-day",
        "sql",
    ]


def test_one_day_more_is_built_onto_the_days_before(tmp_path):
    events = inputs.prepare(tmp_path, 5000, seed=1, days=8, say=lambda text: None)
    bench = Bench(tmp_path / "work")
    rows = []
    for step in ("dbt-no-tests", "dbt-no-tests-one-day"):
        result = bench.run(step, events, is_sample=False)
        assert result.problem is None
        assert result.details["nodes"] > 40
        assert not result.details["is_published"]
        with duckdb.connect(tmp_path / "work" / "dbt-no-tests" / "build.duckdb") as connection:
            rows += connection.sql(
                "select value_number from marts.compliance_summary where metric = 'raw_rows'"
            ).fetchone()
    assert rows == [events.rows, events.rows + events.next_rows]


# --- The whole -----------------------------------------------------------------------------------


def benchmark(*arguments: str | Path) -> subprocess.CompletedProcess:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTT_")}
    return subprocess.run(
        [sys.executable, OTT, "benchmark", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_benchmark_writes_json_and_markdown(tmp_path):
    result = benchmark(
        *("--sizes", "5k", "--days", "8", "--repeat", "1", "--output", tmp_path),
        *("--engines", "sql", "pandas", "polars"),
    )
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert (tmp_path / "benchmark.md").read_text().strip() == result.stdout.strip()
    steps = {(one["step"], one["events"]): one for one in written["runs"]}
    assert len(steps) == len(written["runs"]) == 6
    assert all(one["seconds"] > 0 and one["peak_bytes"] > 1e7 for one in written["runs"])
    assert steps[("sql", 5000)]["details"]["output_bytes"] > 0
    assert "| (c) DuckDB, SQL written by hand |" in result.stdout
    assert str(PROJECT) not in result.stdout
    # Inputs stay for the next time, databases do not.
    assert not (tmp_path / "work").exists()
    assert len(list(tmp_path.glob("inputs/*/events/*.parquet"))) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "many"], "number of events"),
        (["--sizes", "10"], "from 5,000 on"),
        (["--engines", "spark"], "needs --spark-dbt"),
        (["--engines", "spark", "--spark-dbt", "/nowhere/dbt"], "there is none at /nowhere/dbt"),
        (["--memory-limit", "4 gigabytes"], "such as 4GB"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    result = benchmark(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
