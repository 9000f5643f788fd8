"""Whatever happens to a build, readers keep a complete release, and the next build succeeds.

The number of whole builds that are killed is small by default, because each costs two builds;
OTT_TEST_BUILD_KILLS (`make test-nightly`) sets it.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from conftest import kill, marts_of, new_plugin
from forked_dbt import FORKS

from ott import build, copies, plugin, releases
from ott.releases import ReleaseError

BUILD_KILLS = int(os.environ.get("OTT_TEST_BUILD_KILLS", "1"))
PUBLISHES_WHILE_READING = max(8, BUILD_KILLS)


def served(folder: Path) -> str:
    """Verify the release that is served, and return its name."""
    return releases.verify(releases.current_release(folder))["release"]


def publish(work: Path, folder: Path, watch=lambda connection: connection) -> None:
    with duckdb.connect(work, read_only=True) as connection:
        releases.publish(watch(connection), folder, marts_of(connection), {})


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a file system of 5 MB, too small for a release; skips where it cannot be made."""
    disk = tmp_path / "small"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


# --- Failing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "check"),
    [
        ("models/staging/stg_compliance_events.sql", "1900-", "1901-", "stg_compliance_events"),
        ("models/marts/breakdowns/compliance_by_region.sql", r"\Z", "\nwhere region <> 'EU'\n",
         "compliance_by_region"),
    ],
    ids=["unit test", "data test"],
)  # fmt: skip
def test_a_failing_check_publishes_nothing(file, pattern, replacement, check, copied_build):
    before = served(copied_build.releases)
    path = copied_build.root / file
    sound = path.read_text()
    path.write_text(re.sub(pattern, replacement, sound))
    # What staging reads is held by its unit tests.
    result = copied_build.dbt("build") if "staging" in file else copied_build.build()
    path.write_text(sound)
    assert result.returncode == 1
    message = re.search("Nothing published: .*", result.stdout)[0]
    assert check in message and message.endswith(f"Still served: release {before}.")
    assert served(copied_build.releases) == before


def test_a_full_disk_under_the_releases_fails_the_build(copied_build, small_disk):
    result = copied_build.build(OTT_RELEASE_PATH=str(small_disk), is_parsed=True)
    assert result.returncode == 1
    assert f"The release cannot be written to {small_disk}" in result.stdout
    assert "No release is served yet." in result.stdout
    assert not list(small_disk.glob("*/"))


@pytest.mark.parametrize("fault", ["size=25m", "ro"])
def test_a_disk_that_takes_no_release_leaves_what_is_served(fault, work, small_disk):
    remount(small_disk, "size=100m")
    publish(work, small_disk)
    before = served(small_disk)
    remount(small_disk, fault)
    with pytest.raises(ReleaseError, match="cannot be written"):
        publish(work, small_disk)
    assert served(small_disk) == before
    remount(small_disk, "rw,size=100m")
    publish(work, small_disk)
    assert served(small_disk) > before


ENOUGH = {"OTT_MEMORY_LIMIT": "50MB", "OTT_CPU_THREADS": "1", "OTT_TEMP_LIMIT": "1GB"}


@pytest.fixture(scope="module")
def greedy(copied_build) -> Iterator[tuple[str, ...]]:
    """A command that sorts 70 MB, more than the memory of the test, which goes to disk."""
    model = copied_build.root / "models" / "intermediate" / "intake" / "greedy.sql"
    model.write_text("""
        select i, repeat(md5(cast(i as varchar)), 4) as filler
        from range(500000) as numbers (i)
        order by hash(i)
    """)
    command = ("run", "--select", "greedy")
    result = copied_build.dbt(*command, is_parsed=True, **ENOUGH)
    assert result.returncode == 0, result.stdout
    yield command
    model.unlink()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"OTT_MEMORY_LIMIT": "10MB"}, "memory. Raise OTT_MEMORY_LIMIT (10MB)"),
        ({"OTT_TEMP_LIMIT": "1MB"}, "disk for temporary files. Raise OTT_TEMP_LIMIT (1MB)"),
        ({"OTT_DATABASE_PATH": "{disk}/work.duckdb", "OTT_TEMP_PATH": "spilled"},
         "disk. Make room for the work database ({disk}/work.duckdb)"),
        # As the limit, or where that is larger than the disk, as an error of the disk.
        ({"OTT_TEMP_PATH": "{disk}"}, "disk for temporary files. Raise OTT_TEMP_LIMIT (90 %"),
        ({"OTT_TEMP_PATH": "{disk}", "OTT_TEMP_LIMIT": "1GB"},
         "disk. Make room for the work database (ott_build.duckdb) and its temporary files"),
    ],
)  # fmt: skip
def test_what_ran_out_is_told(copied_build, greedy, request, limits, message):
    disk = request.getfixturevalue("small_disk") if "{disk}" in str(limits) else None
    limits = {name: value.format(disk=disk) for name, value in limits.items()}
    enough = {name: ENOUGH[name] for name in ("OTT_MEMORY_LIMIT", "OTT_CPU_THREADS")}
    result = copied_build.dbt(*greedy, is_parsed=True, **enough | limits)
    assert result.returncode == 1
    assert f"greedy ran out of {message.format(disk=disk)}" in result.stdout
    assert result.stdout.count(" ran out of ") == 1
    assert "What was served before still is." in result.stdout


def write_log_of(database: Path) -> Path:
    """Add a table to a database, and leave it in the log as a killed process does."""
    code = (
        "import duckdb, os, sys; connection = duckdb.connect(sys.argv[1]); "
        "connection.execute('create table main.numbers as from range(100000)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, database], check=True)
    return database.with_name(f"{database.name}.wal")


def damage_log(database: Path) -> None:
    with write_log_of(database).open("r+b") as log:
        log.seek(200)
        log.write(bytes(100))


def open_work_database(path: Path) -> None:
    """Let the plugin open a work database as dbt does."""
    credentials = plugin.DuckDBCredentials(path=str(path))
    new_plugin(path).update_connection_config(credentials, {})


@pytest.mark.parametrize(
    "damage",
    [
        lambda database: os.truncate(database, 100),
        lambda database: os.truncate(database, 300_000),
        lambda database: os.truncate(database, 0),
        lambda database: database.write_bytes(bytes(50_000)),
        lambda database: database.write_text("event_id,user_id\n" * 1000),
        damage_log,
    ],
    ids=["cut in the header", "cut among the tables", "no byte", "zeros", "text", "a damaged log"],
)
def test_a_damaged_work_database_is_told_in_a_sentence(damage, work):
    damage(work)
    with pytest.raises(plugin.DbtRuntimeError) as error:
        open_work_database(work)
    assert f"delete it, and {work}" in str(error.value)
    assert str(error.value).count("\n") <= 1


def test_a_folder_in_place_of_the_work_database_is_told(tmp_path):
    with pytest.raises(plugin.DbtRuntimeError, match="let OTT_DATABASE_PATH name a file"):
        open_work_database(tmp_path)


def test_half_a_log_of_a_killed_build_is_no_damage(work):
    log = write_log_of(work)
    os.truncate(log, log.stat().st_size // 2)
    open_work_database(work)


def test_a_work_database_that_may_not_be_written_is_told(work, small_disk):
    remount(small_disk, "size=100m")
    database = shutil.copy(work, small_disk / "work.duckdb")
    remount(small_disk, "ro")
    with pytest.raises(plugin.DbtRuntimeError, match="may not be read and written here"):
        open_work_database(database)


def test_settings_that_duckdb_refuses_are_no_damage(work, monkeypatch):
    monkeypatch.setenv("OTT_MEMORY_LIMIT", "plenty")
    with pytest.raises(plugin.DbtRuntimeError, match="OTT_MEMORY_LIMIT=plenty") as error:
        open_work_database(work)
    assert "delete" not in str(error.value)


def test_damage_that_a_step_meets_is_told_without_a_traceback(copied_build):
    """And a database that does not even open, by dbt itself."""
    before = served(copied_build.releases)
    database = copied_build.root / "damaged.duckdb"
    shutil.copy(copied_build.root / "ott_build.duckdb", database)
    with duckdb.connect(database, read_only=True) as connection:
        blocks = connection.execute(
            "select distinct block_id from pragma_storage_info('marts.int_checked_events')"
            " where block_id >= 0"
        ).fetchall()
    with database.open("r+b") as file:
        for (block,) in blocks:
            file.seek(3 * 4096 + block * 262_144 + 5000)
            file.write(os.urandom(100))
    for code, message in (
        (1, "int_changed_days read a damaged file. Delete the work database"),
        (2, f"{database} cannot be read as a database"),
    ):
        result = copied_build.build(OTT_DATABASE_PATH=str(database))
        assert result.returncode == code and message in result.stdout
        assert "Traceback" not in result.stdout
        os.truncate(database, 100)
    assert served(copied_build.releases) == before


@pytest.mark.parametrize("fault", ["full", "read-only", "a file"])
def test_folders_of_dbt_that_cannot_be_written_are_told(small_disk, monkeypatch, fault):
    folder = small_disk / "file" if fault == "a file" else small_disk
    if fault == "a file":
        folder.write_text("in the way")
    if fault == "read-only":
        remount(small_disk, "ro")
    monkeypatch.setenv("DBT_LOG_PATH", str(folder))
    told = build.problem_of_folder("DBT_LOG_PATH", "logs")
    assert re.fullmatch(rf"{folder} cannot be written \(.*\): .*DBT_LOG_PATH.*", told)
    assert fault != "full" or not list(folder.iterdir())


# --- Killed ---------------------------------------------------------------------------------------


def test_a_build_killed_at_any_moment_leaves_a_complete_release(built_project, copied_build):
    """The next one repairs all, and keeps others out. Moments are lines of output."""
    run = json.loads((built_project.root / "target" / "run_results.json").read_text())
    steps = [step for step in run["results"] if not step["unique_id"].startswith("unit_test")]
    killed = 0
    for moment in range(BUILD_KILLS):
        before = served(copied_build.releases)
        with copied_build.start_build() as process:
            # Each step says when it starts and when it ends.
            for _ in range(int(2 * len(steps) * (moment + 0.5) / BUILD_KILLS)):
                process.stdout.readline()
            killed += kill(process)
        after_kill = served(copied_build.releases)
        assert after_kill >= before
        with copied_build.start_build() as first:
            # From the first seed on, the database is open.
            while "1 of" not in first.stdout.readline():
                assert first.poll() is None
            second = copied_build.build("--target-path", "target_of_second")
            assert second.returncode != 0 and "Traceback" not in second.stdout
            assert re.search(rf"ott_build.duckdb is in use by .*\(PID {first.pid}\)", second.stdout)
            assert served(copied_build.releases) == after_kill
            output, _ = first.communicate(timeout=600)
        assert first.returncode == 0, output
        assert served(copied_build.releases) > after_kill
    # One that has its last lines still to say may have ended before its kill.
    assert killed >= BUILD_KILLS / 2
    manifest = releases.read_manifest(releases.current_release(copied_build.releases))
    assert manifest["dbt"]["command"] == "dbt build --exclude-resource-type unit_test"


def publish_and_die(work: Path, folder: Path, deadly: int, begin) -> None:
    """Publish; with a number, die at that operation on the folder.

    Those of Python, by its audit events, other programs, and statements that change the new file.
    """
    operations = 0

    def count() -> None:
        nonlocal operations
        operations += 1
        if operations == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple) -> None:
        is_of_files = event == "open" or event.startswith(("os.", "shutil."))
        if event == "subprocess.Popen" or (
            is_of_files and any(str(argument).startswith(str(folder)) for argument in arguments)
        ):
            count()

    def watch(connection: duckdb.DuckDBPyConnection) -> SimpleNamespace:
        def execute(query: str) -> duckdb.DuckDBPyConnection:
            if copies.COPY in query and not query.strip().startswith(("select", "describe")):
                count()
            return connection.execute(query)

        return SimpleNamespace(execute=execute, cursor=connection.cursor)

    sys.addaudithook(hear)
    begin.set()
    publish(work, folder, watch)


def start_publish(work: Path, folder: Path, deadly: int = 0):
    """Start to publish in a process of its own, and wait until it begins."""
    begin = FORKS.Event()
    process = FORKS.Process(target=publish_and_die, args=(work, folder, deadly, begin))
    process.start()
    assert begin.wait(600)
    return process


def exit_code(process) -> int:
    process.join(600)
    return process.exitcode


@pytest.mark.parametrize(
    ("script", "is_file"),
    [
        ("create table marts.numbers as from range(1000)", False),
        ("create table marts.int_checked_events as select *, day as event_date, 1 as fingerprint,"
         " if(day > '2026-01-01', 'late', null) as rejection_reasons, repeat('x', 9) as dropped"
         " from (values (date '2026-01-01'), (date '2026-01-02')) as days (day), "
         " range(1000) as events (event_id);"
         "create view marts.fct_compliance_events as select event_id, event_date"
         " from marts.int_checked_events where rejection_reasons is null;"
         "create view marts.others as select event_id from marts.int_checked_events;"
         "create schema other; create table other.numbers as from range(10);"
         "create view other.seen as from other.numbers", True),
    ],
    ids=["rows", "a file"],
)  # fmt: skip
def test_publishing_killed_at_any_operation_leaves_a_complete_release(tmp_path, script, is_file):
    """Each time in a folder as it was: what kills leave behind makes the next run longer.

    Between two operations a file in `.building-...` grows, which the kill before leaves as well.
    """
    config = {"storage_compatibility_version": "v1.0.0"}
    work, folder, untouched = tmp_path / "work.duckdb", tmp_path / "release", tmp_path / "untouched"
    with duckdb.connect(work, config=config) as connection:
        connection.execute(f"create schema marts; {script}")
    # As many as are kept, so that one is removed.
    for _ in range(releases.KEPT_RELEASES):
        publish(work, untouched)
    before = served(untouched)
    survived = []
    for operation in itertools.count(1):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(untouched, folder, symlinks=True)
        code = exit_code(start_publish(work, folder, deadly=operation))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        survived.append(served(folder) != before)
        publish(work, folder)
        assert not [*folder.glob(".building-*"), *folder.glob(".removing-*")]
    # The first kills come before the switch, the last ones after it.
    assert survived == sorted(survived) and {*survived} == {False, True}
    assert len(survived) >= (40 if is_file else 15)
    assert served(folder) > before
    marts = releases.read_manifest(releases.current_release(folder))["marts"]
    assert any("days" in measures for measures in marts.values()) == is_file


@pytest.mark.parametrize("sign", ["", "Running with dbt", "START"])
def test_ctrl_c_ends_a_build_with_a_sentence(copied_build, sign):
    """While modules are loaded, while dbt parses, and while it runs a step."""
    before = served(copied_build.releases)
    logs = copied_build.root / "new_logs"
    shutil.rmtree(logs, ignore_errors=True)
    output = []
    with copied_build.start_build(PYTHONUNBUFFERED="1", DBT_LOG_PATH=str(logs)) as process:
        # The command makes the folder once it is ready for Ctrl-C.
        while not logs.exists():
            time.sleep(0.01)
        while sign and sign not in (output or [""])[-1]:
            output.append(process.stdout.readline())
            assert output[-1], output
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=300)
    assert process.returncode == 130, (output, rest)
    assert rest.endswith(build.STOPPED) and "Traceback" not in rest
    assert served(copied_build.releases) == before


# --- Beside each other ---------------------------------------------------------------------------


def test_the_second_of_two_publishers_says_who_is_publishing(work, folder):
    with releases.lock(folder):
        with pytest.raises(ReleaseError, match=f"Process {os.getpid()} is publishing"):
            publish(work, folder)
        with pytest.raises(ReleaseError, match="is publishing or rolling back"):
            releases.roll_back(folder, None)


def read_all_the_time(path: Path, pipe: Connection) -> None:
    """Send each answer that is new, until there is something to receive; then how many they were.

    Each answer of a fresh connection must be of one release; a connection that stays open must go
    on giving its own.
    """

    def answers(connection: duckdb.DuckDBPyConnection) -> tuple:
        return connection.execute("""
            select
                (select count(*) from marts.fct_compliance_events),
                (select sum(events) from marts.compliance_by_status),
                (select sum(events) from marts.dim_users)
        """).fetchone()

    seen, polls = set(), 0
    with duckdb.connect() as patient:
        patient.execute(f"attach '{path}' as release (read_only)")
        patient.execute("use release")
        first = answers(patient)
        while not pipe.poll():
            with duckdb.connect(path, read_only=True) as connection:
                counts = answers(connection)
            assert len(set(counts)) == 1, f"a mix of releases: {counts}"
            assert answers(patient) == first, "an open connection sees another release"
            if counts not in seen:
                seen.add(counts)
                pipe.send(counts[0])
            polls += 1
    pipe.send(f"{polls} polls")


def test_readers_never_see_an_error_or_a_mix(work, folder, capsys):
    pipe, end_of_reader = FORKS.Pipe()
    path = folder / "current" / releases.DATABASE
    reader = FORKS.Process(target=read_all_the_time, args=(path, end_of_reader), daemon=True)
    reader.start()
    end_of_reader.close()
    events = pipe.recv()
    for number in range(1, PUBLISHES_WHILE_READING + 1):
        with duckdb.connect(work) as connection:
            connection.execute(f"""
                begin;
                create temp table lost as
                    from marts.fct_compliance_events order by event_id limit {number};
                delete from marts.fct_compliance_events
                    where event_id in (select event_id from lost);
                update marts.compliance_by_status set events = events
                    - (select count(*) from lost where lost.status = compliance_by_status.status);
                update marts.dim_users set events = events
                    - (select count(*) from lost where lost.user_id = dim_users.user_id);
                commit;
            """)
        publish(work, folder)
        events -= number
        # Waits until the reader has seen this release; one that died has said nothing more.
        assert pipe.recv() == events
    pipe.send("stop")
    with capsys.disabled():
        print(f" [{pipe.recv()}]", end="")
    assert exit_code(reader) == 0
