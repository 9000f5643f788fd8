"""Only a whole build without a fault is published; releases can be checked and rolled back."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import publish_plugin
import pytest
import releases


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the command that looks after releases, on a folder."""
    return subprocess.run(
        [sys.executable, Path(releases.__file__), *arguments],
        env={**os.environ, "OTT_RELEASE_PATH": str(folder)},
        capture_output=True,
        text=True,
    )


def all_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple]]:
    """All rows of all marts, in a fixed order."""
    return {
        mart: connection.sql(f"from marts.{mart} order by all").fetchall()
        for mart in releases.list_marts(connection)
    }


def all_comments(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
    """Comments of all marts and their columns."""
    return connection.sql("""
        select table_name, null as column_name, comment
        from duckdb_tables() where schema_name = 'marts'
        union all
        select view_name, null as column_name, comment
        from duckdb_views() where schema_name = 'marts'
        union all
        select table_name, column_name, comment
        from duckdb_columns() where schema_name = 'marts'
        order by all
    """).fetchall()


@pytest.fixture(scope="module")
def manifest(built_project) -> dict:
    return json.loads((built_project.releases / "current" / "manifest.json").read_text())


@pytest.fixture
def publish(work, folder):
    """Return a function that publishes the seed build once more, and returns the release's name."""

    def publish_again(*statements: str) -> str:
        with duckdb.connect(work) as connection:
            for statement in statements:
                connection.execute(statement)
            marts = releases.list_marts(connection)
            return releases.publish(connection, folder, marts, {}).name

    return publish_again


# --- What a release holds ------------------------------------------------------------------------


def test_a_release_holds_all_marts_with_their_comments(built_project, release_file):
    with (
        built_project.connect() as work,
        duckdb.connect(release_file, read_only=True) as release,
    ):
        assert all_rows(release) == all_rows(work)
        comments = all_comments(release)
        assert comments == all_comments(work)
        assert all(comment for *_, comment in comments)
        schemas = release.sql("select distinct schema from (show all tables)").fetchall()
        assert schemas == [("marts",)]
        assert release.sql("select current_database()").fetchone() == ("ott_compliance",)


def test_a_release_is_read_only_and_readable_by_old_clients(release_file):
    for path in release_file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o444, path
    assert {path.name for path in release_file.parent.iterdir()} == {
        "ott_compliance.duckdb",
        "manifest.json",
    }
    with duckdb.connect() as connection:
        connection.execute(f"attach '{release_file}' as release (read_only)")
        tags = connection.sql("select tags from duckdb_databases() where database_name = 'release'")
        assert "v1.0.0" in str(tags.fetchone()[0])


def test_the_manifest_says_what_was_built_how_and_what_was_checked(built_project, manifest):
    with built_project.connect() as connection:
        rows = {
            mart: connection.sql(f"select count(*) from marts.{mart}").fetchone()[0]
            for mart in releases.list_marts(connection)
        }
    assert {mart: measure["rows"] for mart, measure in manifest["marts"].items()} == rows
    assert manifest["release"] == (built_project.releases / "current").resolve().name
    assert manifest["dbt"]["command"] == "dbt --no-use-colors --warn-error build"
    assert re.fullmatch(r"[0-9a-f-]{36}", manifest["dbt"]["invocation_id"])
    run = json.loads((built_project.root / "target" / "run_results.json").read_text())
    tests = [r for r in run["results"] if r["unique_id"].split(".")[0] in ("test", "unit_test")]
    assert len(manifest["checks"]["passed"]) == len(tests) > 100
    assert manifest["checks"]["warned"] == []


def test_the_manifest_names_the_commit(manifest):
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=releases.PROJECT, capture_output=True, text=True
    ).stdout.strip()
    if not commit:
        pytest.skip("the project is no git repository here")
    assert releases.git_commit() in (commit, f"{commit}-dirty")
    # The copy that the tests build lies in no repository.
    assert manifest["git_commit"] is None


def test_a_folder_behind_a_link_is_like_any_other(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert command(tmp_path / "link", "list").stdout.startswith("*")


def checksum(values: str) -> str:
    """The checksum of a mart of these rows with two columns."""
    with duckdb.connect() as connection:
        connection.execute("create schema marts")
        connection.execute(f"create table marts.t as from (values {values}) as t (a, b)")
        return releases.measure_marts(connection, ["t"])["t"]["checksum"]


@pytest.mark.parametrize(
    ("rows", "others"),
    [
        (["(1, 'x')", "(2, null)"], ["(2, '')", "(2, null), (2, null)"]),
        (["(1, 2)", "(2, 1)"], ["(2, 2)", "(1, 1)", "(-2, 1)", "(null, 1)", "(2, null)"]),
        (["(1e0, false)", "(2e0, null)"], ["(-2e0, null)", "(2e0, false)", "('nan', null)"]),
        (
            ["(date '2026-01-01', 'x')", "(date 'infinity', 'x')"],
            ["(null, 'x')", "('-infinity', 'x')", "('2026-01-02', 'x')"],
        ),
        (
            ["(timestamp '2026-01-01', 'x')", "(timestamp 'infinity', 'x')"],
            ["(null, 'x')", "('-infinity', 'x')", "('2026-01-01 00:00:00.000001', 'x')"],
        ),
        (["('x', 'y')", "('y', 'x')"], ["('x', 'x')", "('y', 'y')", "('xy', '')"]),
        (["([1], 1.5)", "([2], 1.5)"], ["([2, 1], 1.5)", "([2], 1.4)", "([3], 1.5)"]),
    ],
)
def test_checksums_follow_values_not_the_order_of_rows(rows, others):
    first, second = rows
    base = checksum(f"{first}, {second}")
    assert checksum(f"{second}, {first}") == base
    found = {base, checksum(first), *(checksum(f"{first}, {other}") for other in others)}
    assert len(found) == 2 + len(others)


@pytest.mark.parametrize(
    ("rows", "swapped"),
    [
        ("(1, 10), (2, 20)", "(1, 20), (2, 10)"),
        ("(1, 'x'), (2, 'y')", "(1, 'y'), (2, 'x')"),
        ("(1, null), (null, 1)", "(1, 1), (null, null)"),
        ("(0, false), (1, true)", "(0, true), (1, false)"),
        ("('x', 'y'), ('z', 'w')", "('x', 'w'), ('z', 'y')"),
    ],
)
def test_checksums_follow_which_values_share_a_row(rows, swapped):
    assert checksum(rows) != checksum(swapped)


def test_checksums_are_those_of_every_version_of_duckdb():
    with duckdb.connect() as connection:
        connection.execute("create schema marts")
        connection.execute("""
            create table marts.t as
            select
                i - 500 as integer_number,
                (i - 500) / 7e0 as float_number,
                cast(['nan', '-infinity', '-0.0', '1e300'][i % 4 + 1] as double) as rare,
                if(i % 3 = 0, null, i % 2 = 0) as truth,
                if(i = 8, '5000000-01-01', date '1969-06-01' + cast(i as integer)) as day,
                if(i = 9, 'infinity', timestamp '1969-12-31' + to_minutes(i)) as moment,
                if(i % 5 = 0, null, 'tëxt ' || i % 11) as words,
                cast(i as decimal(9, 2)) as fraction,
                cast(if(i = 7, 18446744073709551615, i) as ubigint) as large
            from range(1000) as t (i)
        """)
        measured = releases.measure_marts(connection, ["t"])
    assert measured == {"t": {"rows": 1000, "checksum": "9371647183453222889787"}}


@pytest.fixture(scope="module")
def part_project(built_project, new_project):
    """A copy of the built project."""
    project = new_project("part")
    shutil.copy(built_project.root / "ott_build.duckdb", project.root)
    shutil.copytree(built_project.releases, project.releases, symlinks=True)
    return project


# --- What is published ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("run --select compliance_by_status", "dbt run does not build and check everything"),
        ("test --select compliance_by_status", "dbt test does not build and check everything"),
        ("build --select compliance_by_status", "a part of the project took part (--select)"),
        ("build --exclude intermediate+", "a part of the project took part (--exclude)"),
        ("build --resource-type seed", "took part (--resource-types)"),
        ("build --empty --select stg_compliance_events", "took part (--select, --empty)"),
        ("build --exclude-resource-type unit_test model test", "(--exclude-resource-types)"),
    ],
)
def test_a_part_of_a_build_publishes_nothing_and_says_so(arguments, reason, part_project):
    before = sorted(part_project.releases.iterdir())
    served = releases.current_release(part_project.releases).name
    result = part_project.dbt(*arguments.split())
    assert result.returncode == 0, result.stdout
    message = re.search("Nothing published: .*", result.stdout)[0]
    assert reason in message
    assert message.endswith(f"Still served: release {served}.")
    assert sorted(part_project.releases.iterdir()) == before


@pytest.mark.parametrize(
    "damage",
    [
        "update marts.fct_compliance_events set user_age = user_age + 1 where event_id = 17",
        "update marts.fct_compliance_events set region = null where event_id = 17",
        "delete from marts.fct_compliance_events where event_id = 17",
        "alter table marts.fct_compliance_events alter user_age type integer",
    ],
)
def test_a_copy_that_differs_is_not_served(damage, folder, publish, monkeypatch):
    before = releases.current_release(folder)
    copy_marts = releases.copy_marts

    def copy_and_damage(connection, marts, database):
        originals = copy_marts(connection, marts, database)
        with duckdb.connect(database) as copy:
            copy.execute(damage)
        return originals

    monkeypatch.setattr(releases, "copy_marts", copy_and_damage)
    with pytest.raises(releases.ReleaseError, match=r"differs .* in fct_compliance_events; build"):
        publish()
    assert releases.current_release(folder) == before
    assert releases.list_releases(folder) == [before]
    assert not list(folder.glob(".building-*"))
    monkeypatch.undo()
    assert publish() == releases.current_release(folder).name


# --- Keeping, verifying, rolling back ------------------------------------------------------------


def test_the_last_three_releases_are_kept_and_the_one_that_is_served(folder, publish):
    first = releases.current_release(folder).name
    names = [first, *(publish() for _ in range(3))]
    assert [path.name for path in releases.list_releases(folder)] == names[1:]
    assert releases.roll_back(folder, names[1]).name == names[1]
    assert releases.current_release(folder).name == names[1]
    names.append(publish())
    assert [path.name for path in releases.list_releases(folder)] == names[2:]
    assert releases.current_release(folder).name == names[-1]


def test_an_old_release_that_is_served_is_kept(folder, publish):
    first = releases.current_release(folder)
    publish()
    newest = folder / publish()
    releases.roll_back(folder, first.name)
    shutil.copytree(newest, folder / f"{newest.name}-copy")
    releases.remove_old_releases(folder)
    assert first.exists()
    shutil.copytree(newest, folder / f"{newest.name}-other")
    releases.remove_old_releases(folder)
    assert len(releases.list_releases(folder)) == releases.KEPT_RELEASES + 1


def test_leftovers_of_killed_runs_are_removed(folder, publish):
    for name in (".building-x", ".removing-y"):
        (folder / name).mkdir()
        (folder / name / "ott_compliance.duckdb").write_text("half a file")
    (folder / ".next").symlink_to("nowhere")
    publish()
    names = {path.name for path in folder.iterdir()}
    assert names == {"current", ".lock", *(path.name for path in releases.list_releases(folder))}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("update marts.compliance_by_region set events = events + 1 where region = 'EU'",
         "compliance_by_region has other values"),
        ("delete from marts.fct_compliance_events where event_id = 17",
         "fct_compliance_events has 4999 rows, not 5000"),
        ("drop table marts.dim_users", "dim_users is missing"),
        ("create table marts.extra as select 1 as one", "extra is not in the manifest"),
        ("create schema other", "the file has changed, but no value in a mart"),
    ],
)  # fmt: skip
def test_verify_names_what_differs(folder, damage, message):
    database = releases.current_release(folder) / "ott_compliance.duckdb"
    assert command(folder, "verify").returncode == 0
    database.chmod(0o644)
    with duckdb.connect(database) as connection:
        connection.execute(damage)
    result = command(folder, "verify")
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_verify_holds_releases_of_another_format_against_their_file(folder):
    release = releases.current_release(folder)
    manifest = releases.read_manifest(release)
    del manifest["format"]
    for measure in manifest["marts"].values():
        measure["checksum"] = "1"
    (release / "manifest.json").chmod(0o644)
    (release / "manifest.json").write_text(json.dumps(manifest))
    assert command(folder, "verify").returncode == 0
    (release / "ott_compliance.duckdb").chmod(0o644)
    with duckdb.connect(release / "ott_compliance.duckdb") as connection:
        connection.execute("update marts.compliance_by_region set events = events + 1")
    result = command(folder, "verify")
    assert result.returncode == 1
    assert "does not match its manifest: the file has changed. " in result.stderr


@pytest.mark.parametrize("file", ["manifest.json", "ott_compliance.duckdb"])
def test_verify_refuses_files_that_cannot_be_read(folder, file):
    path = releases.current_release(folder) / file
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:100])
    result = command(folder, "verify")
    assert result.returncode == 1
    assert f"{file} cannot be read" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_command_lists_verifies_and_rolls_back(folder, publish):
    first = releases.current_release(folder).name
    second = publish("delete from marts.fct_compliance_events where event_id = 17")
    listing = command(folder, "list").stdout.splitlines()
    assert [line.split()[:2] for line in listing] == [["*", second], [first, "26"]]
    assert "4,999 events" in listing[0] and "5,000 events" in listing[1]
    assert command(folder, "verify", first).returncode == 0
    assert command(folder, "rollback").stdout == f"Now served: {first}\n"
    assert releases.current_release(folder).name == first
    result = command(folder, "rollback")
    assert result.returncode == 1 and "There is no earlier release" in result.stderr
    result = command(folder, "rollback", "yesterday")
    assert result.returncode == 1 and f"there are: {first}, {second}" in result.stderr
    assert command(folder, "rollback", second).returncode == 0
    assert releases.current_release(folder).name == second


def test_a_damaged_release_is_never_served_again(folder, publish):
    first = releases.current_release(folder)
    second = publish()
    (first / "ott_compliance.duckdb").chmod(0o644)
    (first / "ott_compliance.duckdb").write_bytes(b"")
    result = command(folder, "rollback", first.name)
    assert result.returncode == 1 and "cannot be read" in result.stderr
    (first / "manifest.json").chmod(0o644)
    (first / "manifest.json").write_text("{")
    listing = command(folder, "list").stdout
    assert second in listing and "manifest.json cannot be read" in listing
    assert releases.current_release(folder).name == second


def test_before_the_first_build_the_command_says_what_to_do(tmp_path):
    for arguments in (["list"], ["verify"], ["rollback"]):
        result = command(tmp_path / "release", *arguments)
        assert result.returncode == 1
        assert "Run `make build` first." in result.stderr
        assert "Traceback" not in result.stderr


# --- the function that macros call ---------------------------------------------------------------


@pytest.mark.parametrize("is_writable", [True, False])
def test_publishing_has_the_threads_it_is_given_in_that_of_the_caller(
    tmp_path, monkeypatch, is_writable
):
    """And leaves them to DuckDB, also when nothing can be published."""
    folder = tmp_path / "release"
    if not is_writable:
        folder.write_text("a file in place of a folder")
    monkeypatch.setenv("OTT_RELEASE_PATH", str(folder))
    publish, seen = releases.publish, []

    def watch(connection, *arguments):
        (threads,) = connection.execute("select current_setting('threads')").fetchone()
        seen.append((threads, threading.current_thread()))
        return publish(connection, *arguments)

    monkeypatch.setattr(releases, "publish", watch)
    request = json.dumps({"marts": ["numbers"], "about": {}, "threads": 3})
    with duckdb.connect(tmp_path / "work.duckdb") as connection:
        connection.execute("create schema marts")
        connection.execute("create table marts.numbers as select 1 as number")
        publish_plugin.Plugin("publish_plugin", {}).configure_connection(connection)
        connection.execute("set threads = 1")
        (answer,) = connection.execute("select publish_release(?)", [request]).fetchone()
        assert connection.execute("select current_setting('threads')").fetchone() == (3,)
    assert seen == [(3, threading.current_thread())]
    assert ("release" if is_writable else "error") in json.loads(answer)
