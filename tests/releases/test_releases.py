"""Only a whole build without a fault is published; releases can be checked and rolled back."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import PROJECT, new_plugin

from ott import cli, releases


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the command that looks after releases, on a folder."""
    return subprocess.run(
        [sys.executable, PROJECT / "scripts" / "ott", "releases", *arguments],
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
    assert manifest["unit_tests"] is True


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
    for number in range(50, 50 + releases.KEPT_RELEASES):
        shutil.copytree(newest, folder / f"20260101T000000.000000Z-{number}")
    releases.remove_old_releases(folder)
    assert first.exists() and not newest.exists()
    assert len(releases.list_releases(folder)) == releases.KEPT_RELEASES + 1


def test_copies_that_people_made_push_no_release_out(folder, publish):
    names = [releases.current_release(folder).name, publish(), publish()]
    copies = [f"{names[-1]} copy", f"{names[-1]}-old"]
    for copy in copies:
        shutil.copytree(folder / names[-1], folder / copy)
    releases.remove_old_releases(folder)
    assert {path.name for path in releases.list_releases(folder)} == {*names, *copies}


class Clock(datetime):
    """A clock that goes wrong."""

    error = timedelta()

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + cls.error


def test_releases_follow_one_another_whatever_the_clock_says(folder, publish, monkeypatch):
    monkeypatch.setattr(releases, "datetime", Clock)
    order = [releases.current_release(folder).name]
    for days in (27_000, 0, -9_000, 1, 0):
        monkeypatch.setattr(Clock, "error", timedelta(days))
        order.append(publish())
        there = [path.name for path in releases.list_releases(folder)]
        assert there == order[-releases.KEPT_RELEASES :]
        assert releases.current_release(folder).name == order[-1]
    listed = [line.strip("* ").split()[0] for line in command(folder, "list").stdout.splitlines()]
    assert listed == order[:-4:-1]
    for name in order[-2:-4:-1]:
        assert command(folder, "rollback").stdout == f"Now served: {name}\n"
    assert command(folder, "rollback").returncode == 1
    # After a rollback the next one is the last one all the same.
    newest = publish()
    assert releases.list_releases(folder)[-1] == releases.current_release(folder)
    assert releases.roll_back(folder, None).name == order[-1] != newest


def test_releases_of_older_versions_come_first(folder, publish):
    """They are ordered by their names, even where a clock had run ahead."""
    first = releases.current_release(folder)
    older = [first.rename(folder / "20990101T000000.000000Z").name]
    (folder / "current").unlink()
    (folder / "current").symlink_to(older[0])
    names = [*older, publish(), publish()]
    assert [path.name for path in releases.list_releases(folder)] == names
    assert releases.roll_back(folder, None).name == names[1]
    assert releases.roll_back(folder, None).name == names[0]


def test_a_folder_in_place_of_the_link_is_told_and_stays(folder, publish):
    """As after a backup that was restored without links: beside its release, or alone."""
    release = releases.current_release(folder)
    (folder / "current").unlink()
    shutil.copytree(release, folder / "current")
    (folder / "20260101T000000.000000Z").mkdir()
    before = sorted(folder.iterdir())
    for act in (publish, lambda: releases.roll_back(folder, release.name)):
        with pytest.raises(releases.ReleaseError, match=r"current is a folder, not a link .* Ren"):
            act()
        assert sorted(folder.iterdir()) == before
    listing = command(folder, "list")
    assert release.name in listing.stdout and "current is a folder" in listing.stderr
    # What the sentence says, where the release is not there.
    shutil.rmtree(release)
    (folder / "current").rename(release)
    listing = command(folder, "list")
    assert release.name in listing.stdout and "No release is served" in listing.stderr
    assert command(folder, "rollback", release.name).returncode == 0
    publish()


SOUND = {
    "release": "a",
    "git_commit": None,
    "database": {"bytes": 1, "sha256": ""},
    "marts": {"dim_users": {"rows": 1, "checksum": ""}},
}


@pytest.mark.parametrize(
    "content",
    [
        *("{}", "[]", "null", "1", '"text"', "", "{", "[" * 100_000, "\xff", '{"marts": NaN}'),
        *(json.dumps({key: SOUND[key] for key in SOUND if key != lost}) for lost in SOUND),
        *(json.dumps(SOUND | {key: odd}) for key in SOUND for odd in (1.5, [], [None], {"a": 1})),
        json.dumps(SOUND | {"release": None}),
        json.dumps(SOUND | {"git_commit": "\ud800"}),
        json.dumps(SOUND | {"database": {"bytes": 10**400, "sha256": ""}}),
        json.dumps(SOUND | {"database": {"bytes": "1", "sha256": ""}}),
        json.dumps(SOUND | {"marts": {"dim_users": None}}),
        json.dumps(SOUND | {"marts": {"dim_users": {"rows": "1", "checksum": ""}}}),
        json.dumps(SOUND | {"marts": {"dim_users": {"rows": 1}}}),
    ],
)
def test_a_damaged_manifest_is_told(tmp_path, content, capsys, monkeypatch):
    assert set(SOUND) == {"release", "git_commit", "database", "marts"}
    monkeypatch.setenv("OTT_RELEASE_PATH", str(tmp_path))
    for name, manifest in (("sound", json.dumps(SOUND)), ("damaged", content)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_bytes(manifest.encode("latin-1"))
    (tmp_path / "current").symlink_to("damaged")
    for arguments in (["verify"], ["rollback", "damaged"], ["list"]):
        code = cli.main(["releases", *arguments])
        shown = capsys.readouterr()
        assert code == (arguments != ["list"])
        assert re.search(
            r"damaged/manifest.json (is damaged|cannot be read \(.*?\)).*\. Roll back to another",
            shown.out + shown.err,
        )
    assert "sound  1 marts  without events" in shown.out


def test_releases_without_a_manifest_are_named_and_removed(folder, publish):
    """But the one that is served, and no folder of another name."""
    lost = folder / "20200101T000000.000000Z"
    also_lost = folder / "20200101T000000.000000Z-7"
    others = [folder / name for name in ("20200101T000000.000000Z-mine", "notes", "2020-01-01")]
    for path in (lost, also_lost, *others):
        path.mkdir()
        (path / "ott_compliance.duckdb").write_text("a file")
    served = releases.current_release(folder)
    (served / "manifest.json").unlink()
    listing = command(folder, "list").stdout
    for path in (lost, also_lost, served):
        assert f"{path.name}  {path / 'manifest.json'} cannot be read" in listing
    kept = [publish() for _ in range(3)]
    assert not lost.exists() and not also_lost.exists() and not served.exists()
    assert all(path.exists() for path in others)
    assert [path.name for path in releases.list_releases(folder)] == kept


@pytest.mark.parametrize(
    "name",
    [".building-x", ".removing-y", "current", ".next", "link", "../other", "./{}", "{}/", "", ".",
     "{}/../{}", "/{}", "{folder}/{}"],
)  # fmt: skip
def test_only_releases_are_served(folder, publish, name):
    release = releases.current_release(folder)
    for copy in (".building-x", ".removing-y", "../other"):
        shutil.copytree(release, folder / copy)
    (folder / "link").symlink_to(release.name)
    for act in ("verify", "rollback"):
        result = command(
            folder, act, name.replace("{}", release.name).replace("{folder}", str(folder))
        )
        assert result.returncode == 1 and "There is no release" in result.stderr
    assert releases.current_release(folder) == release


def test_the_umask_says_who_can_read_a_release(folder, publish):
    before = os.umask(0o077)
    try:
        release = folder / publish()
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in release.iterdir()} == {0o400}


# --- Two projects, one folder ---------------------------------------------------------------------


@pytest.fixture
def publish_from(tmp_path, monkeypatch):
    """Return a function that publishes from a project, which it makes, and returns the answer."""

    def publish(project: str, path: str = "", work: str = "work.duckdb") -> dict:
        root = tmp_path / project
        root.mkdir(exist_ok=True)
        (root / "dbt_project.yml").touch()
        monkeypatch.setattr("ott.home", root)
        monkeypatch.setenv("OTT_RELEASE_PATH", path)
        with duckdb.connect(root / work) as connection:
            connection.execute("create schema if not exists marts")
            connection.execute("create or replace table marts.numbers as select 1 as number")
            new_plugin(root / work).configure_connection(connection)
            connection.execute("set threads = 1")
            request = json.dumps({"marts": ["numbers"], "about": {}, "threads": 1})
            (answer,) = connection.execute("select publish_release(?)", [request]).fetchone()
        return json.loads(answer)

    return publish


@pytest.mark.parametrize("shared", ["shared", "first/release"])
def test_a_project_does_not_publish_to_the_folder_of_another(
    tmp_path, publish_from, monkeypatch, shared
):
    shared = str(tmp_path / shared)
    assert "release" in publish_from("first", shared)
    served = publish_from("first", shared)["served"]
    answer = publish_from("second", shared)
    assert f"releases of another project, {tmp_path / 'first'} on " in answer["error"]
    assert "build once with OTT_TAKE_OVER_RELEASES=1" in answer["error"]
    assert answer["served"] == served
    assert not list(Path(shared).glob(".building-*"))
    # On purpose; from then on, the first is the other one.
    monkeypatch.setenv("OTT_TAKE_OVER_RELEASES", "1")
    assert "release" in publish_from("second", shared)
    monkeypatch.delenv("OTT_TAKE_OVER_RELEASES")
    assert "release" in publish_from("second", shared)
    assert str(tmp_path / "second") in publish_from("first", shared)["error"]


@pytest.mark.parametrize("path", ["", "shared"])
def test_a_project_that_changed_is_the_same_project(tmp_path, publish_from, path):
    path = path and str(tmp_path / path)
    publish_from("project", path)
    # `make clean`, another database, another place, a copy, a new clone at the old place.
    (tmp_path / "project" / "work.duckdb").unlink()
    assert "release" in publish_from("project", path)
    assert "release" in publish_from("project", path, "elsewhere.duckdb")
    (tmp_path / "project").rename(tmp_path / "moved")
    assert "release" in publish_from("moved", path)
    shutil.rmtree(tmp_path / "moved")
    assert "release" in publish_from("moved", path)
    if not path:
        shutil.copytree(tmp_path / "moved", tmp_path / "copy", symlinks=True)
        assert "release" in publish_from("copy")
        assert "release" in publish_from("moved")


def test_a_project_of_another_machine_may_be_there_still(tmp_path, publish_from, monkeypatch):
    shared = str(tmp_path / "shared")
    monkeypatch.setattr("socket.gethostname", lambda: "far")
    publish_from("first", shared)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "first")
    assert "on far" in publish_from("second", shared)["error"]
    # At the same place, as in a container whose name is another one each time.
    assert "release" in publish_from("first", shared)


def test_releases_that_name_no_project_are_taken_over(folder, publish, publish_from):
    publish()
    assert "release" in publish_from("first", str(folder))
    newest = releases.list_releases(folder)[-1]
    (newest / "manifest.json").chmod(0o644)
    (newest / "manifest.json").write_text('{"project": 1}')
    assert "release" in publish_from("second", str(folder))


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
    marts = len(releases.read_manifest(folder / first)["marts"])
    assert [line.split()[:2] for line in listing] == [["*", second], [first, str(marts)]]
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
        new_plugin(tmp_path / "work.duckdb").configure_connection(connection)
        connection.execute("set threads = 1")
        (answer,) = connection.execute("select publish_release(?)", [request]).fetchone()
        assert connection.execute("select current_setting('threads')").fetchone() == (3,)
    assert seen == [(3, threading.current_thread())]
    assert ("release" if is_writable else "error") in json.loads(answer)
