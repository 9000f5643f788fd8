"""Whatever happens to a build, readers keep a complete release, and the next build succeeds.

The number of whole builds that are killed is small by default, because each costs two builds;
OTT_TEST_BUILD_KILLS (`make test-nightly`) sets it.
"""

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from conftest import BUILD, PROJECT, clean_environment, kill, new_plugin

from ott import plugin, releases

BUILD_KILLS = int(os.environ.get("OTT_TEST_BUILD_KILLS", "1"))
TIMED_PUBLISH_KILLS = max(8, BUILD_KILLS)
PUBLISHES_WHILE_READING = max(8, BUILD_KILLS)

# Publishes in a process of its own. With a number, the process kills itself at that operation on
# the folder of the releases (they are counted by Python's audit events).
PUBLISH = """
import os, signal, sys
from pathlib import Path
import duckdb
from ott import releases

work, folder, deadly = sys.argv[1], sys.argv[2], int(sys.argv[3])
operations = 0

def count(event, arguments):
    global operations
    if event == "open" or event.startswith(("os.", "shutil.")):
        if any(str(argument).startswith(folder) for argument in arguments):
            operations += 1
            if operations == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

with duckdb.connect(work, read_only=True) as connection:
    marts = releases.list_marts(connection)
    print("publishing", flush=True)
    sys.addaudithook(count)
    releases.publish(connection, Path(folder), marts, {})
"""

# Reads until its input is closed, and says each answer that is new. Each answer of a fresh
# connection must be of one release; a connection that stays open must go on giving its own.
READ = """
import select, sys, duckdb

def answers(connection):
    return connection.execute('''
        select (select count(*) from marts.fct_compliance_events),
               (select sum(events) from marts.compliance_by_status),
               (select sum(events) from marts.dim_users)
    ''').fetchone()

path, polls, seen = sys.argv[1], 0, set()
with duckdb.connect() as patient:
    patient.execute(f"attach '{path}' as release (read_only)")
    patient.execute("use release")
    first = answers(patient)
    while not select.select([sys.stdin], [], [], 0)[0]:
        with duckdb.connect(path, read_only=True) as connection:
            counts = answers(connection)
        assert len(set(counts)) == 1, f"a mix of releases: {counts}"
        assert answers(patient) == first, "an open connection sees another release"
        if counts not in seen:
            seen.add(counts)
            print(counts[0], flush=True)
        polls += 1
print(polls)
"""


def served(folder: Path) -> str:
    """Verify the release that is served, and return its name."""
    return releases.verify(releases.current_release(folder))["release"]


@pytest.fixture(scope="module")
def project(built_project, new_project):
    """A copy of the built project with its release, for builds that go wrong."""
    project = new_project("faults")
    shutil.copy(built_project.root / "ott_build.duckdb", project.root)
    shutil.copytree(built_project.releases, project.releases, symlinks=True)
    return project


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


def start_publish(work: Path, folder: Path, deadly: int = 0) -> subprocess.Popen:
    """Start to publish in a process of its own, and wait until it begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", PUBLISH, work, folder, str(deadly)],
        env={**clean_environment(), "PYTHONPATH": str(PROJECT / "scripts")},
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert process.stdout.readline() == "publishing\n"
    return process


# --- Killed ---------------------------------------------------------------------------------------


def build_command(project, **environment: str) -> subprocess.Popen:
    """Start what `make build` runs."""
    return subprocess.Popen(
        [sys.executable, "scripts/ott", "build"],
        cwd=project.root,
        env={**clean_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


@pytest.fixture(scope="module")
def lines_of_a_build(project) -> int:
    """How much the build command says, which is that of dbt, and publishes."""
    before = served(project.releases)
    process = build_command(project)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert served(project.releases) > before
    manifest = releases.read_manifest(releases.current_release(project.releases))
    assert manifest["dbt"]["command"] == "dbt build --exclude-resource-type unit_test"
    return len(output.splitlines())


def test_a_build_killed_at_any_moment_leaves_a_complete_release(project, lines_of_a_build):
    """The moments are lines of its output, which come sooner or later."""
    killed = 0
    for moment in range(BUILD_KILLS):
        before = served(project.releases)
        with project.start_dbt(*BUILD) as process:
            for _ in range(int(lines_of_a_build * (moment + 0.5) / BUILD_KILLS)):
                process.stdout.readline()
            killed += kill(process)
        after_kill = served(project.releases)
        assert after_kill >= before
        result = project.build()
        assert result.returncode == 0, result.stdout
        assert served(project.releases) > after_kill
    # One that has its last lines still to say may have ended before its kill.
    assert killed >= BUILD_KILLS / 2


def test_publishing_killed_at_any_operation_leaves_a_complete_release(work, folder, tmp_path):
    """Each time in a folder as it was: what kills leave behind makes the next run longer."""
    untouched = folder.rename(tmp_path / "untouched")
    survived = []
    for operation in itertools.count(1):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(untouched, folder, symlinks=True)
        before = served(folder)
        process = start_publish(work, folder, deadly=operation)
        if process.wait(timeout=600) == 0:
            break
        assert process.returncode == -signal.SIGKILL
        survived.append(served(folder) != before)
    # The first kills come before the switch, the last ones after it.
    assert survived == sorted(survived) and {*survived} == {False, True}
    assert len(survived) >= 15
    assert served(folder) > before
    assert not [*folder.glob(".building-*"), *folder.glob(".removing-*")]


def test_publishing_killed_at_any_time_leaves_a_complete_release(work, folder):
    started = time.monotonic()
    assert start_publish(work, folder).wait() == 0
    longest = time.monotonic() - started
    moments = random.Random(7)
    killed = 0
    while killed < TIMED_PUBLISH_KILLS:
        before = served(folder)
        process = start_publish(work, folder)
        moment = moments.uniform(0, longest)
        time.sleep(moment)
        if kill(process):
            killed += 1
        else:
            # The machine has become faster.
            longest = moment
        assert served(folder) >= before
    before = served(folder)
    assert start_publish(work, folder).wait(timeout=600) == 0
    assert served(folder) > before


# --- Failing --------------------------------------------------------------------------------------

# What is broken in each layer, and the check that notices.
BROKEN = {
    "raw": ("seeds/regions.csv", r"\Z", "US,9,\n", "regions"),
    "staging": (
        "models/staging/stg_compliance_events.sql",
        r"1900-01-01",
        "1901-01-01",
        "stg_compliance_events",
    ),
    "intermediate": (
        "seeds/raw_compliance_events.csv",
        r"(?m)^(\d+),[^,]*,(.*)$",
        r"\1,yesterday,\2",
        "quarantined_share_is_acceptable",
    ),
    "marts": (
        "models/marts/breakdowns/compliance_by_region.sql",
        r"\Z",
        "\nwhere region <> 'EU'\n",
        "compliance_by_region",
    ),
}


@pytest.mark.parametrize("layer", BROKEN)
def test_a_failing_check_in_any_layer_publishes_nothing(layer, project):
    file, pattern, replacement, check = BROKEN[layer]
    before = served(project.releases)
    path = project.root / file
    sound = path.read_text()
    broken = re.sub(pattern, replacement, sound, count=0 if layer == "intermediate" else 1)
    assert broken != sound
    path.write_text(broken)
    # What staging reads is held by its unit tests.
    result = project.dbt("build") if layer == "staging" else project.build()
    path.write_text(sound)
    assert result.returncode == 1
    message = re.search("Nothing published: .*", result.stdout)[0]
    assert check in message and message.endswith(f"Still served: release {before}.")
    assert served(project.releases) == before


def test_after_all_failures_the_next_build_succeeds(project):
    before = served(project.releases)
    result = project.build()
    assert result.returncode == 0, result.stdout
    assert served(project.releases) > before


def test_a_full_disk_leaves_what_is_served(project, small_disk):
    result = project.build(OTT_RELEASE_PATH=str(small_disk))
    assert result.returncode == 1
    assert f"The release cannot be written to {small_disk}" in result.stdout
    assert "No release is served yet." in result.stdout
    assert not list(small_disk.glob("*/"))
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    with duckdb.connect(project.root / "ott_build.duckdb", read_only=True) as connection:
        releases.publish(connection, small_disk, releases.list_marts(connection), {})
    before = served(small_disk)
    subprocess.run(["mount", "-o", "remount,size=10m", small_disk], check=True)
    with duckdb.connect(project.root / "ott_build.duckdb", read_only=True) as connection:
        marts = releases.list_marts(connection)
        with pytest.raises(releases.ReleaseError, match="cannot be written"):
            releases.publish(connection, small_disk, marts, {})
        assert served(small_disk) == before
        subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
        releases.publish(connection, small_disk, marts, {})
    assert served(small_disk) > before


def test_a_full_disk_under_the_work_database_leaves_what_is_served(project, small_disk):
    before = served(project.releases)
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    result = project.build(OTT_DATABASE_PATH=str(small_disk / "ott_build.duckdb"))
    assert result.returncode != 0
    assert "No space left on device" in result.stdout
    assert "ran out of disk. Make room for the work database" in result.stdout
    assert served(project.releases) == before
    subprocess.run(["mount", "-o", "remount,size=200m", small_disk], check=True)
    seed = ("seed", "--select", "regions")
    result = project.dbt(*seed, OTT_DATABASE_PATH=str(small_disk / "ott_build.duckdb"))
    assert result.returncode == 0, result.stdout


def test_too_little_memory_leaves_what_is_served(project):
    before = served(project.releases)
    result = project.build(OTT_MEMORY_LIMIT="25MB", OTT_CPU_THREADS="1")
    assert result.returncode == 1
    assert "ran out of memory. Raise OTT_MEMORY_LIMIT (25MB)" in result.stdout
    assert "ran out of disk" not in result.stdout
    assert "What was served before still is." in result.stdout
    assert served(project.releases) == before


@pytest.fixture
def greedy(project) -> Iterator[None]:
    """A model before all others that sorts 70 MB, more than the memory of the test."""
    model = project.root / "models" / "intermediate" / "intake" / "greedy.sql"
    model.write_text("""
        select i, repeat(md5(cast(i as varchar)), 4) as filler
        from range(500000) as numbers (i)
        order by hash(i)
    """)
    source_days = model.with_name("int_source_days.sql")
    sound = source_days.read_text()
    source_days.write_text(f"-- depends_on: {{{{ ref('greedy') }}}}\n{sound}")
    yield
    source_days.write_text(sound)
    model.unlink()


LITTLE_MEMORY = {"OTT_MEMORY_LIMIT": "50MB", "OTT_CPU_THREADS": "1"}


def test_a_limit_of_temporary_files_leaves_what_is_served(project, greedy, tmp_path):
    """What does not fit into the memory goes to disk, as much as is allowed."""
    before = served(project.releases)
    result = project.build(
        OTT_TEMP_PATH=str(tmp_path / "spilled"), OTT_TEMP_LIMIT="1MB", **LITTLE_MEMORY
    )
    assert result.returncode == 1
    assert "greedy ran out of disk for temporary files. Raise OTT_TEMP_LIMIT (1MB)" in result.stdout
    assert "ran out of memory" not in result.stdout
    assert served(project.releases) == before
    result = project.dbt("run", "--select", "greedy", OTT_TEMP_LIMIT="1GB", **LITTLE_MEMORY)
    assert result.returncode == 0, result.stdout


def test_a_full_disk_under_the_temporary_files_is_told(project, greedy, small_disk):
    """As the limit, or where that is larger than the disk, as an error of the disk."""
    for limits, message in (
        ({}, "for temporary files. Raise OTT_TEMP_LIMIT (90 % of what is free there)"),
        ({"OTT_TEMP_LIMIT": "1GB"}, "Make room for the work database (ott_build.duckdb) and its"),
    ):
        result = project.dbt(
            "run", "--select", "greedy", OTT_TEMP_PATH=str(small_disk), **LITTLE_MEMORY, **limits
        )
        assert result.returncode == 1
        assert re.search(rf"greedy ran out of disk.*{re.escape(message)}", result.stdout)


def test_a_read_only_release_folder_leaves_what_is_served(work, small_disk):
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    with duckdb.connect(work, read_only=True) as connection:
        marts = releases.list_marts(connection)
        releases.publish(connection, small_disk, marts, {})
        before = served(small_disk)
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        with pytest.raises(releases.ReleaseError, match="cannot be written"):
            releases.publish(connection, small_disk, marts, {})
        assert served(small_disk) == before
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        releases.publish(connection, small_disk, marts, {})
    assert served(small_disk) > before


def test_the_second_of_two_builds_says_who_is_building(project):
    before = served(project.releases)
    with project.start_dbt(*BUILD) as first:
        # From the first seed on, the database is open.
        while "1 of" not in first.stdout.readline():
            assert first.poll() is None
        second = project.build("--target-path", "target_of_second")
        assert second.returncode != 0
        assert re.search(rf"ott_build.duckdb is in use by .*\(PID {first.pid}\)", second.stdout)
        assert "Traceback" not in second.stdout
        assert served(project.releases) == before
        output, _ = first.communicate(timeout=600)
        assert first.returncode == 0, output
    assert served(project.releases) > before


def test_the_second_of_two_publishers_says_who_is_publishing(work, folder):
    with releases.lock(folder):
        with duckdb.connect(work, read_only=True) as connection:
            marts = releases.list_marts(connection)
            with pytest.raises(releases.ReleaseError, match=f"Process {os.getpid()} is publishing"):
                releases.publish(connection, folder, marts, {})
        with pytest.raises(releases.ReleaseError, match="is publishing or rolling back"):
            releases.roll_back(folder, None)


def write_log_of(database: Path) -> None:
    """Add a table to a database, and leave it in the log as a killed process does."""
    code = (
        "import duckdb, os, sys; connection = duckdb.connect(sys.argv[1]); "
        "connection.execute('create table main.numbers as from range(100000)'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, database], check=True)


def damage_log(database: Path) -> None:
    write_log_of(database)
    log = database.with_name(f"{database.name}.wal")
    content = bytearray(log.read_bytes())
    content[200:300] = bytes(100)
    log.write_bytes(content)


def replace_by_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


DAMAGE = {
    "cut in the header": lambda database: os.truncate(database, 100),
    "cut among the tables": lambda database: os.truncate(database, 300_000),
    "no byte": lambda database: os.truncate(database, 0),
    "zeros": lambda database: database.write_bytes(bytes(50_000)),
    "text": lambda database: database.write_text("event_id,user_id\n" * 1000),
    "a log that is damaged": damage_log,
    "a folder": replace_by_folder,
}


def open_work_database(path: Path) -> None:
    """Let the plugin open a work database as dbt does."""
    credentials = plugin.DuckDBCredentials(path=str(path))
    new_plugin(path).update_connection_config(credentials, {})


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_work_database_is_told_in_a_sentence(damage, work):
    DAMAGE[damage](work)
    with pytest.raises(plugin.DbtRuntimeError) as error:
        open_work_database(work)
    advice = {"a folder": "let OTT_DATABASE_PATH name a file"}.get(damage, f"delete it, and {work}")
    assert advice in str(error.value)
    assert str(error.value).count("\n") <= 1


def test_half_a_log_of_a_killed_build_is_no_damage(work):
    write_log_of(work)
    log = work.with_name(f"{work.name}.wal")
    os.truncate(log, log.stat().st_size // 2)
    open_work_database(work)


def test_a_work_database_that_may_not_be_written_is_told(work, small_disk):
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    database = shutil.copy(work, small_disk / "work.duckdb")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(plugin.DbtRuntimeError, match="may not be read and written here"):
        open_work_database(database)


def test_settings_that_duckdb_refuses_are_no_damage(work, monkeypatch):
    monkeypatch.setenv("OTT_MEMORY_LIMIT", "plenty")
    with pytest.raises(plugin.DbtRuntimeError, match="OTT_MEMORY_LIMIT=plenty") as error:
        open_work_database(work)
    assert "delete" not in str(error.value)


def test_damage_that_a_step_meets_is_told_without_a_traceback(project):
    """And a database that does not even open, by dbt itself."""
    before = served(project.releases)
    database = project.root / "damaged.duckdb"
    shutil.copy(project.root / "ott_build.duckdb", database)
    with duckdb.connect(database, read_only=True) as connection:
        blocks = connection.execute(
            "select distinct block_id from pragma_storage_info('intermediate.int_checked_events')"
            " where block_id >= 0"
        ).fetchall()
    with database.open("r+b") as file:
        for (block,) in blocks:
            file.seek(3 * 4096 + block * 262_144 + 5000)
            file.write(os.urandom(100))
    result = project.build(OTT_DATABASE_PATH=str(database))
    assert result.returncode == 1
    assert "int_checked_events read a damaged file. Delete the work database" in result.stdout
    assert "Traceback" not in result.stdout
    os.truncate(database, 100)
    result = project.build(OTT_DATABASE_PATH=str(database))
    assert result.returncode != 0
    assert f"{database} cannot be read as a database" in result.stdout
    assert "Traceback" not in result.stdout
    assert served(project.releases) == before


@pytest.mark.parametrize("variable", ["DBT_TARGET_PATH", "DBT_LOG_PATH"])
@pytest.mark.parametrize("fault", ["full", "read-only", "a file"])
def test_folders_of_dbt_that_cannot_be_written_are_told(project, small_disk, variable, fault):
    folder = small_disk
    if fault == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    if fault == "a file":
        folder = small_disk / "file"
        folder.write_text("in the way")
    process = build_command(project, **{variable: str(folder)})
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert re.fullmatch(rf"{folder} cannot be written \(.*\): .*{variable}.*\n", output)
    if fault == "full":
        assert not list(folder.iterdir())


@pytest.mark.parametrize("sign", ["", "Running with dbt", "START"])
def test_ctrl_c_ends_a_build_with_a_sentence(project, sign):
    """While modules are loaded, while dbt parses, and while it runs a step."""
    before = served(project.releases)
    logs = project.root / "new_logs"
    shutil.rmtree(logs, ignore_errors=True)
    process = build_command(project, PYTHONUNBUFFERED="1", DBT_LOG_PATH=str(logs))
    # The command makes the folder once it is ready for Ctrl-C.
    while not logs.exists():
        time.sleep(0.01)
    output = []
    while sign and sign not in (output or [""])[-1]:
        output.append(process.stdout.readline())
        assert output[-1], output
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = process.communicate(timeout=300)
    assert process.returncode == 130, (output, rest)
    assert rest.endswith(
        "\nStopped. What was served before still is; the next build needs no repair.\n"
    )
    assert "Traceback" not in rest
    assert served(project.releases) == before


# --- Readers --------------------------------------------------------------------------------------


@pytest.fixture
def reader(folder) -> Iterator[subprocess.Popen]:
    """A process that reads all the time."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(READ), folder / "current" / releases.DATABASE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_readers_never_see_an_error_or_a_mix(work, folder, reader, project, capsys):
    with duckdb.connect(work) as connection:
        marts = releases.list_marts(connection)
        events = int(reader.stdout.readline())
        for number in range(1, PUBLISHES_WHILE_READING + 1):
            connection.execute(f"""
                begin;
                create or replace temp table lost as
                    from marts.fct_compliance_events order by event_id limit {number};
                delete from marts.fct_compliance_events
                    where event_id in (select event_id from lost);
                update marts.compliance_by_status set events = events
                    - (select count(*) from lost where lost.status = compliance_by_status.status);
                update marts.dim_users set events = events
                    - (select count(*) from lost where lost.user_id = dim_users.user_id);
                commit;
            """)
            releases.publish(connection, folder, marts, {})
            events -= number
            # Waits until the reader has seen this release.
            assert reader.stdout.readline() == f"{events}\n", reader.communicate()
    result = project.build(OTT_RELEASE_PATH=str(folder))
    assert result.returncode == 0, result.stdout
    output, errors = reader.communicate("stop", timeout=600)
    assert reader.returncode == 0, errors
    with capsys.disabled():
        print(f" [{int(output)} polls]", end="")
