"""The benchmark compares like with like, and measures and judges whole process trees."""

import json
import os
import signal
import subprocess
import sys
import time

import duckdb
import psutil
import pytest
from conftest import PROJECT, assert_same, run_ott

from ott import cli
from ott.lab.benchmark import inputs
from ott.lab.benchmark.engines import Bench, steps_of
from ott.lab.benchmark.measure import measure
from ott.lab.benchmark.summary import SAMPLE, as_markdown, summarize

# Copies and conflicts at once, rows without an id that are equal, and values at and beyond limits.
MORE_DEFECTS = """
with day as (
    select *, row_number() over (order by event_id) as number
    from '{day}' where event_id is not null and region in ('US', 'EU', 'ASIA', 'LATAM')
),

changed as (
    from day where number <= 2
    union all by name
    select * replace ('AFRICA' as region) from day where number = 1
    union all by name
    select * replace (null as event_id) from day cross join range(2) where number = 3
    union all by name
    select
        * replace (
            -event_id as event_id,
            case number when 4 then 'inf'::double when 5 then '-inf'::double else 44640 end
                as session_duration_minutes,
            if(number = 7, 120, user_age) as user_age,
            case number when 7 then 100 when 8 then 101 else concurrent_streams end
                as concurrent_streams,
            if(number = 8, 'rewind', event_type) as event_type,
            if(number = 8, ' Some ', data_shared) as data_shared
        )
    from day where number between 4 and 8
    union all by name
    select null as event_id
)

select * exclude (number, range) from changed
"""
# What each of the means makes, and where the project has it.
TABLES = {
    "fct_compliance_events": "marts.fct_compliance_events",
    "quarantined_compliance_events": "marts.quarantined_compliance_events",
    "user_totals": "marts.dim_users",
    "member_counts": "(select *, violation_variance as variance,"
    " dimension_violation_variance as dimension_variance"
    " from marts.compliance_by_member natural join intermediate.int_member_users)",
    "session_duration_statistics": "marts.session_duration_statistics",
}


@pytest.fixture(scope="module")
def events(tmp_path_factory) -> inputs.Input:
    """Daily files of realistic events with every defect that typed columns can have."""
    folder = tmp_path_factory.mktemp("events")
    events = inputs.prepare(folder, 20_000, seed=7, days=20, say=print)
    day = events.days()[3]
    more = MORE_DEFECTS.format(day=day)
    duckdb.sql(f"copy ({more}) to '{day.with_name('day-more.parquet')}'")
    return events


@pytest.fixture(scope="module")
def bench(events, tmp_path_factory) -> Bench:
    """A bench on which the project has built the events, without tests."""
    bench = Bench(tmp_path_factory.mktemp("work"))
    result = bench.run("dbt-no-tests", events, is_sample=False)
    assert result.problem is None
    assert result.details["nodes"] > 40 and not result.details["is_published"]
    return bench


def built(bench: Bench) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(bench.folder / "dbt-no-tests" / "build.duckdb", read_only=True)


@pytest.mark.parametrize("means", ["sql", "pandas", "polars"])
def test_all_means_make_the_same_tables(bench, events, means):
    result = bench.run(means, events, is_sample=False)
    assert result.problem is None
    folder = bench.folder / means / "tables"
    with duckdb.connect(folder / "by_hand.duckdb") as other, built(bench) as connection:
        for file in folder.glob("*.parquet"):
            other.execute(f"create view {file.stem} as from '{file}'")
        found, wanted = {}, {}
        for table, source in TABLES.items():
            columns = other.sql(f"describe {table}").fetchall()
            columns.sort(key=lambda column: column[1] == "DOUBLE")
            # pandas does not tell nan from null.
            listed = ", ".join(
                name
                if kind == "DOUBLE" and table != "quarantined_compliance_events"
                else f"nullif(cast({name} as varchar), 'nan') as {name}"
                for name, kind, *_ in columns
            )
            select = f"select {listed} from {{}} order by all"
            found[table] = other.sql(select.format(table)).fetchall()
            wanted[table] = connection.sql(select.format(source)).fetchall()
        assert other.sql("show tables").fetchall() == [(table,) for table in sorted(TABLES)]
    assert all(found.values())
    assert_same(found, wanted)


def test_events_have_every_defect_and_one_day_more_is_built_onto_them(bench, events):
    rows = "select raw_rows from intermediate.int_input_rows"
    with built(bench) as connection:
        reasons = "from marts.quarantine_by_rejection_reason where quarantined_rows = 0"
        missing = connection.sql(f"select rejection_reason {reasons}").fetchall()
        [(before,)] = connection.sql(rows).fetchall()
    # Only text can be unreadable.
    unreadable = ("not_an_integer", "not_a_number", "timestamp_unreadable")
    assert [reason for (reason,) in missing if not reason.endswith(unreadable)] == []
    assert bench.run("dbt-no-tests-one-day", events, is_sample=False).problem is None
    with built(bench) as connection:
        assert connection.sql(rows).fetchall() == [(before + events.next_rows,)]


def test_child_processes_count_and_output_is_kept(tmp_path):
    program = "import time; x = 200_000_000 * b'x'; [i for i in range(10**7)]; time.sleep(0.5)"
    # The shell stays, as it has something left to do.
    command = ["sh", "-c", f'echo out; "$0" -c "{program}"; echo bad >&2; exit 3', sys.executable]
    measured = measure(command, tmp_path, os.environ, tmp_path / "log")
    assert measured.exit_code == 3
    assert (tmp_path / "log").read_text() == "out\nbad\n"
    assert 0.1 < measured.cpu_seconds < measured.seconds - 0.4
    assert 200e6 < measured.peak_bytes < 1000e6


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_end_from_outside_leaves_no_process_behind(tmp_path, sent):
    program = """
import os, pathlib, signal, sys
from ott.lab.benchmark.measure import measure
signal.signal(signal.SIGTERM, signal.default_int_handler)
folder = pathlib.Path(sys.argv[1])
measure(["sh", "-c", "sleep 3456.789 & sleep 3456.789"], folder, os.environ, folder / "log")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "scripts")},
        stderr=subprocess.DEVNULL,
    )
    deadline, found = time.monotonic() + 300, []
    while len(found) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        found = [child for child in children if child.name() == "sleep"]
    assert len(found) == 2
    process.send_signal(sent)
    assert process.wait(300) != 0
    # In a container nobody may collect the exit code of an orphan: it stays, as a zombie.
    left = [child for child in found if child.is_running()]
    assert {child.status() for child in left} <= {psutil.STATUS_ZOMBIE}


LARGE = 10_000_000
RUNS = [
    {
        **{"step": step, "events": events, "round": 1, "problem": None},
        **{"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": gigabytes * 1e9},
        "details": {"nodes": 50, "publishing_seconds": publishing},
    }
    for step, events, seconds, cpu, gigabytes, publishing in (
        ("parse", SAMPLE, 4, 3, 1, None),
        ("dbt", SAMPLE, 21, 20, 1, 1),
        ("dbt-no-tests", SAMPLE, 14, 12, 1, None),
        ("sql", SAMPLE, 1, 1, 1, None),
        ("pandas", SAMPLE, 2, 2, 1, None),
        ("dbt", LARGE, 40, 60, 2, 10),
        ("dbt-no-tests", LARGE, 26, 36, 1, None),
        ("sql", LARGE, 11, 21, 1, None),
        ("pandas", LARGE, 60, 50, 5, None),
    )
]


def test_fixed_costs_and_publishing_are_taken_off():
    machine = {"cores": 2, "processor": "fast", "memory_bytes": 2**34, "system": "Linux"}
    result = {
        "started_at": "2026-02-01T12:00:00+00:00",
        "arguments": {"repeat": 1, "memory_limit": None},
        "machine": {**machine, "versions": {"duckdb": "1"}, "commit": "abc"},
        "inputs": {str(LARGE): {"rows": 9, "next_rows": 1, "users": 3, "bytes": 10**6}},
        "sizes": [LARGE],
        "runs": RUNS,
    }
    result["summary"] = summarize(result)
    found = {
        (row["comparison"], row["of"]): (row["ratio"], row["is_kept"])
        for row in result["summary"]["comparisons"]
    }
    assert found == {
        ("(b) to (c)", "wall time"): (26 / 11, None),
        ("(b) to (c)", "wall time less fixed costs"): ((26 - 14) / (11 - 1), True),
        ("(b) to (c)", "CPU time"): (36 / 21, None),
        ("(b) to (c)", "CPU time less fixed costs"): ((36 - 12) / (21 - 1), None),
        ("(d) to (a)", "wall time"): (60 / 40, False),
        ("(d) to (a)", "CPU time"): (50 / 60, None),
        ("(a) to (d)", "memory"): (2 / 5, False),
    }
    start_up = result["summary"]["start_up"]
    assert (start_up["dbt"], start_up["dbt-no-tests per node"]) == (21 - 1, (14 - 4) / 50)
    lines = as_markdown(result).splitlines()
    assert "| (a) `dbt build` with all tests, and publishing | 40.0 | 60.0 | 10.0 | 2.00 |" in lines
    assert "| (b) less parsing, per node | 200 ms x 50 |" in lines
    assert "| (b) to (c) | wall time less fixed costs | 10M | 1.20 | at most 1.3 | kept |" in lines
    assert "| (a) to (d) | memory | 10M | 0.40 | at most 0.33 | missed |" in lines

    # Failed runs count for nothing.
    failed = [one | {"problem": "exit code 1"} if one["step"] == "sql" else one for one in RUNS]
    summary = summarize({"sizes": [LARGE], "runs": failed})
    assert {row["comparison"] for row in summary["comparisons"]} == {"(d) to (a)", "(a) to (d)"}
    assert "sql" not in summary["start_up"]


def test_increments_follow_a_full_build():
    build = "dbt-no-tests"
    assert steps_of(["increment"]) == [build, f"{build}-unchanged", f"{build}-one-day"]
    more = ["dbt", "dbt-unchanged", "dbt-one-day", "sql"]
    assert steps_of(["sql", "increment", "dbt"]) == more


def test_benchmark_writes_json_and_markdown(tmp_path):
    options = ["--engines", "sql", "pandas", "--sizes", "5k", "--days", "8", "--repeat", "1"]
    result = run_ott("benchmark", *options, "--output", tmp_path)
    assert result.returncode == 0, result.stderr
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert (tmp_path / "benchmark.md").read_text().strip() == result.stdout.strip()
    steps = {(one["step"], one["events"]): one for one in written["runs"]}
    assert len(steps) == len(written["runs"]) == 4
    assert all(one["cpu_seconds"] > 0.1 and one["peak_bytes"] > 1e7 for one in written["runs"])
    assert "| (c) DuckDB, SQL written by hand |" in result.stdout
    assert str(PROJECT) not in result.stdout
    # Inputs stay for the next time, databases do not.
    assert not (tmp_path / "work").exists()
    assert len(list(tmp_path.glob("inputs/*/events/*.parquet"))) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--sizes many", "number of events"),
        ("--sizes 10", "from 5,000 on"),
        ("--engines spark", "needs --spark-dbt"),
        ("--engines spark --spark-dbt /nowhere/dbt", "there is none at /nowhere/dbt"),
        ("--memory-limit 4gigabytes", "such as 4GB"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, capsys, monkeypatch):
    monkeypatch.delenv("OTT_BENCHMARK_SPARK_DBT", raising=False)
    assert cli.main(["benchmark", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
