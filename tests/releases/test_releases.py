"""Only a whole build without a fault is published; releases can be checked and rolled back."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from conftest import marts_of, new_plugin, rows_of

from ott import cli, copies, releases
from ott.releases import ReleaseError, current_release, list_releases

MARTS = """
    create schema if not exists marts;
    create or replace table marts.fct_compliance_events as
        select i as event_id, i % 70 as user_age, ['EU', 'US'][i % 2 + 1] as region
        from range(5000) as numbers (i);
    create or replace table marts.compliance_by_region as
        select region, count(*) as events from marts.fct_compliance_events group by region;
"""
# The same by days, in a table with rejected rows of which the mart is a view.
EVENTS = """
    create schema if not exists marts;
    create schema if not exists other;
    create or replace table marts.int_checked_events as
        select
            i as event_id, i % 70 as user_age, ['EU', 'US'][i % 2 + 1] as region,
            date '2026-01-01' + cast(i // 100000 as integer) as event_date, i * 1.1e0 as minutes,
            if(i % 1000 = 7, 'late', null) as rejection_reasons, i // 100000 as fingerprint
        from range(400000) as numbers (i);
    create or replace view marts.fct_compliance_events as
        select event_id, user_age, region, event_date, minutes
        from marts.int_checked_events where rejection_reasons is null;
    comment on view marts.fct_compliance_events is 'Events';
    comment on column marts.fct_compliance_events.user_age is 'Years';
    create or replace view marts.quarantined_compliance_events as
        select event_id, rejection_reasons
        from marts.int_checked_events where rejection_reasons is not null;
    comment on view marts.quarantined_compliance_events is 'Others';
    create or replace table marts.compliance_by_region as
        select region, count(*) as events from marts.fct_compliance_events group by region;
    create or replace table other.secret as from range(1000);
    create or replace view other.seen as from other.secret;
    create or replace table main.stray as select 1 as one;
    create or replace table marts.old as select 1 as one;
    drop table marts.old;
"""
NEW_DAY = """
    update marts.int_checked_events set user_age = 99, fingerprint = 17
    where event_date = '2026-01-03';
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of the releases, with nothing in it."""
    monkeypatch.setenv("OTT_RELEASE_PATH", str(tmp_path / "release"))
    return tmp_path / "release"


@pytest.fixture
def publish(folder, tmp_path, monkeypatch) -> Callable[..., str]:
    """Return a function that makes a project if need be, publishes from it, and returns the name.

    As macros do, with `threads`; raises ReleaseError with the answer when nothing was published.
    """

    def publish(
        change: str = "",
        project: str = "project",
        work: str = "work.duckdb",
        threads: int = 1,
        events: str = MARTS,
        is_compact: bool = False,
        storage: str = "v1.0.0",
    ) -> str:
        root = tmp_path / project
        root.mkdir(exist_ok=True)
        (root / "dbt_project.yml").touch()
        monkeypatch.setattr("ott.home", root)
        config = {"storage_compatibility_version": storage}
        with duckdb.connect(root / work, config=config) as connection:
            connection.execute(events + change)
            new_plugin(root / work).configure_connection(connection)
            connection.execute("set threads = 1")
            request = {"about": {}, "threads": threads, "is_compact": is_compact}
            request = json.dumps(request | {"marts": marts_of(connection)})
            (answer,) = connection.execute("select publish_release(?)", [request]).fetchone()
            left = connection.execute("select current_setting('threads')").fetchone()
        assert left == (threads,)
        answer = json.loads(answer)
        if "error" in answer:
            raise ReleaseError(f"{answer['error']} Still served: {answer['served']}")
        return Path(answer["release"]).name

    return publish


@pytest.fixture
def first(publish, folder) -> Path:
    """The first release, which is served."""
    return folder / publish()


@pytest.fixture
def ott(capsys) -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that does what `ott releases` does."""

    def run(*arguments: str) -> subprocess.CompletedProcess:
        code = cli.main(["releases", *arguments])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run


def names_in(folder: Path) -> list[str]:
    return [release.name for release in list_releases(folder)]


def overwrite(path: Path, content: str | bytes) -> None:
    """Replace a file of a release, which is read-only."""
    path.unlink()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


# --- What a release holds ------------------------------------------------------------------------


def test_a_release_holds_all_marts_with_their_comments(built_project, release_file):
    def comments_in(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
        return sorted(
            row
            for kind in ("tables", "views", "columns")
            for row in connection.sql(
                f"select columns('^(table|view|column)_name$'), comment from duckdb_{kind}()"
                " where schema_name = 'marts'"
            ).fetchall()
            if row[0] != "int_checked_events"
        )

    with (
        built_project.connect() as work,
        duckdb.connect(release_file, read_only=True) as release,
    ):
        rows, comments = rows_of(release, "marts"), comments_in(release)
        originals = rows_of(work, "marts")
        del originals["marts.int_checked_events"]
        assert (rows, comments) == (originals, comments_in(work))
        assert not release.sql("from duckdb_views() where not internal").fetchall()
        places = release.sql("select distinct database, schema from (show all tables)").fetchall()
    assert all(comment for *_, comment in comments)
    assert places == [("ott_compliance", "marts")]
    measured = releases.read_manifest(release_file.parent)["marts"]
    assert {f"marts.{mart}": measure["rows"] for mart, measure in measured.items()} == {
        mart: len(rows_of_mart) for mart, rows_of_mart in rows.items()
    }


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o444), (0o077, 0o400)])
def test_a_release_is_read_only_and_readable_by_old_clients(folder, publish, umask, mode):
    before = os.umask(umask)
    try:
        release = folder / publish()
    finally:
        os.umask(before)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in release.iterdir()} == {
        "ott_compliance.duckdb": mode,
        "manifest.json": mode,
    }
    with duckdb.connect() as connection:
        connection.execute(f"attach '{release / 'ott_compliance.duckdb'}' as release (read_only)")
        tags = connection.sql("select tags from duckdb_databases() where database_name = 'release'")
        assert "v1.0.0" in str(tags.fetchone()[0])


def test_the_manifest_says_what_was_built_how_and_what_was_checked(built_project):
    release = current_release(built_project.releases)
    manifest = releases.read_manifest(release)
    assert manifest["release"] == release.name
    assert manifest["dbt"]["command"] == "dbt --no-use-colors --warn-error build"
    assert re.fullmatch(r"[0-9a-f-]{36}", manifest["dbt"]["invocation_id"])
    run = json.loads((built_project.root / "target" / "run_results.json").read_text())
    tests = [r for r in run["results"] if r["unique_id"].split(".")[0] in ("test", "unit_test")]
    assert len(manifest["checks"]["passed"]) == len(tests) > 100
    assert manifest["checks"]["warned"] == []
    assert manifest["unit_tests"] is True
    # The copy that the tests build lies in no repository.
    assert manifest["git_commit"] is None
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=releases.PROJECT, capture_output=True, text=True
    ).stdout.strip()
    assert releases.git_commit() in ((commit, f"{commit}-dirty") if commit else (None,))


def checksum(values: str, order: str) -> str:
    """The checksum of a mart of these rows with two columns."""
    with duckdb.connect() as connection:
        connection.execute("create schema marts")
        connection.execute(f"create table marts.t as from (values {values}) as t (a, b) {order}")
        return releases.measure_marts(connection, ["t"])["t"]["checksum"]


@pytest.mark.parametrize(
    ("first", "others", "pairs"),
    [
        ("(1, 'x')", ["(2, null)", "(2, '')", "(2, null), (2, null)"],
         ["(1, 'x'), (2, 'y')", "(1, 'y'), (2, 'x')"]),
        ("(1, 2)", ["(2, 1)", "(2, 2)", "(1, 1)", "(-2, 1)", "(null, 1)", "(2, null)"],
         ["(1, 10), (2, 20)", "(1, 20), (2, 10)", "(1, null), (null, 1)", "(1, 1), (null, null)"]),
        ("(1e0, false)", ["(2e0, null)", "(-2e0, null)", "(2e0, false)", "('nan', null)"],
         ["(0, false), (1, true)", "(0, true), (1, false)"]),
        ("(date '2026-01-01', 'x')",
         ["('infinity', 'x')", "(null, 'x')", "('-infinity', 'x')", "('2026-01-02', 'x')"], []),
        ("(timestamp '2026-01-01', 'x')",
         ["('infinity', 'x')", "(null, 'x')", "('-infinity', 'x')",
          "('2026-01-01 00:00:00.000001', 'x')"], []),
        ("('x', 'y')", ["('y', 'x')", "('x', 'x')", "('y', 'y')", "('xy', '')"],
         ["('x', 'y'), ('z', 'w')", "('x', 'w'), ('z', 'y')"]),
        ("([1], 1.5)", ["([2], 1.5)", "([2, 1], 1.5)", "([2], 1.4)", "([3], 1.5)"], []),
    ],
)  # fmt: skip
def test_checksums_follow_values_and_which_share_a_row_not_the_order(first, others, pairs):
    contents = [first, *(f"{first}, {other}" for other in others), *pairs]
    found = [checksum(values, "order by all") for values in contents]
    assert found == [checksum(values, "order by all desc") for values in contents]
    assert len({*found}) == len(found)


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
    assert measured == {"t": {"rows": 1000, "checksum": "9483920143131903135267"}}


# --- What is published ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("run --select compliance_by_status", "dbt run does not build and check everything"),
        ("test --select regions", "dbt test does not build and check everything"),
        ("build --select compliance_by_status", "a part of the project took part (--select)"),
        (
            "build --empty --exclude intermediate+ --resource-type seed"
            " --exclude-resource-type unit_test",
            "took part (--exclude, --resource-types, --exclude-resource-types, --empty)",
        ),
    ],
)
def test_a_part_of_a_build_publishes_nothing_and_says_so(arguments, reason, copied_build):
    before = sorted(copied_build.releases.iterdir())
    result = copied_build.dbt(*arguments.split())
    assert result.returncode == 0, result.stdout
    message = re.search("Nothing published: .*", result.stdout)[0]
    served = current_release(copied_build.releases).name
    assert reason in message and message.endswith(f"Still served: release {served}.")
    assert sorted(copied_build.releases.iterdir()) == before


@pytest.mark.parametrize(
    "damage",
    [
        "update marts.fct_compliance_events set user_age = user_age + 1 where event_id = 17",
        "update marts.fct_compliance_events set region = null where event_id = 17",
        "delete from marts.fct_compliance_events where event_id = 17",
        "alter table marts.fct_compliance_events alter user_age type integer",
    ],
)
def test_a_copy_that_differs_is_not_served(damage, folder, publish, first, monkeypatch):
    write_marts = copies.write_marts

    def write_and_damage(connection, source, marts, database):
        share = write_marts(connection, source, marts, database)
        with duckdb.connect(database) as copy:
            copy.execute(damage)
        return share

    monkeypatch.setattr(copies, "write_marts", write_and_damage)
    with pytest.raises(ReleaseError, match=r"differs .* in fct_compliance_events; build"):
        publish()
    assert list_releases(folder) == [current_release(folder)] == [first]
    assert not list(folder.glob(".building-*"))


@pytest.mark.parametrize("is_writable", [True, False])
def test_publishing_has_the_threads_it_is_given_in_that_of_the_caller(
    folder, publish, monkeypatch, is_writable
):
    """And leaves them to DuckDB, also when nothing can be published."""
    if not is_writable:
        folder.write_text("a file in place of a folder")
    real_publish, seen = releases.publish, []

    def watch(connection, *arguments, **options):
        (threads,) = connection.execute("select current_setting('threads')").fetchone()
        seen.append((threads, threading.current_thread()))
        return real_publish(connection, *arguments, **options)

    monkeypatch.setattr(releases, "publish", watch)
    with nullcontext() if is_writable else pytest.raises(ReleaseError, match="served: None"):
        publish(threads=3)
    assert seen == [(3, threading.current_thread())]


# --- A copy of the file --------------------------------------------------------------------------


def fact_of(release: Path) -> dict:
    """What the manifest says of the events, by day if the release was made of the file."""
    releases.verify(release)
    return releases.read_manifest(release)["marts"]["fct_compliance_events"]


def contents(release: Path) -> tuple:
    """Schemas, kinds of relations, rows and comments of a release."""
    with duckdb.connect(release / releases.DATABASE, read_only=True) as connection:
        return (
            connection.sql(
                "select distinct table_schema, table_type from information_schema.tables"
            ).fetchall(),
            connection.sql("from (describe marts.fct_compliance_events)").fetchall(),
            rows_of(connection, "marts"),
            sorted(
                connection.sql(
                    "select comment from duckdb_tables() where comment is not null union all"
                    " select comment from duckdb_columns() where comment is not null"
                ).fetchall()
            ),
        )


def test_a_copy_of_the_file_holds_what_a_compact_copy_does(folder, publish):
    copied, compact = (folder / publish(events=EVENTS, is_compact=flag) for flag in (False, True))
    assert contents(copied) == contents(compact)
    places, *_, comments = contents(copied)
    assert places == [("marts", "BASE TABLE")] and comments == [
        ("Events",),
        ("Others",),
        ("Years",),
    ]
    by_day, whole = fact_of(copied), fact_of(compact)
    assert [*by_day["days"]] == [f"2026-01-0{day}" for day in range(1, 5)]
    assert "days" not in whole
    assert [by_day[key] for key in ("rows", "checksum")] == [399_600, whole["checksum"]]
    with duckdb.connect(copied / releases.DATABASE, read_only=True) as connection:
        tables = connection.sql("select table_name from duckdb_tables() order by all").fetchall()
        assert [name for (name,) in tables] == [
            "compliance_by_region",
            "fct_compliance_events",
            "quarantined_compliance_events",
        ]
        tags = connection.sql("select tags from duckdb_databases() where not internal").fetchone()
        assert tags[0]["storage_version"].startswith("v1.0.0")


def test_the_work_database_stays_locked(folder, tmp_path):
    """A process that closes a file loses its locks on it, so that another build could begin."""
    work = tmp_path / "work.duckdb"
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    with duckdb.connect(work, config={"storage_compatibility_version": "v1.0.0"}) as connection:
        connection.execute(EVENTS)
        release = releases.publish(connection, folder, marts_of(connection), {})
        other = subprocess.run([sys.executable, "-c", code, work], capture_output=True, text=True)
        assert "Conflicting lock is held" in other.stderr
    assert fact_of(release)["days"]


@pytest.mark.parametrize(
    ("change", "storage"),
    [
        ("create or replace table other.filler as select random() from range(3000000);", "v1.0.0"),
        ("", "v1.4.0"),
        ("create or replace view marts.fct_compliance_events as select event_id, 0 as user_age,"
         " region, event_date, minutes from marts.int_checked_events"
         " where rejection_reasons is null;", "v1.0.0"),
        ("create or replace view marts.fct_compliance_events as select region, event_id, event_date"
         " from marts.int_checked_events where rejection_reasons is null;", "v1.0.0"),
        ("create or replace view marts.fct_compliance_events as"
         " select * exclude (rejection_reasons, fingerprint) from marts.int_checked_events"
         " where event_id > 9;", "v1.0.0"),
    ],
    ids=["mostly dead", "another format", "masked", "other columns", "other rows"],
)  # fmt: skip
def test_rows_are_copied_where_the_file_will_not_do(folder, publish, change, storage):
    publish(events=EVENTS, storage=storage)
    release = folder / publish(change, events=EVENTS, storage=storage)
    assert "days" not in fact_of(release)
    expected = folder / publish(change, events=EVENTS, storage=storage, is_compact=True)
    assert contents(release) == contents(expected)


def test_what_only_the_log_has_is_published(folder, tmp_path):
    """As long as somebody writes, it is not in the file."""
    config = {"storage_compatibility_version": "v1.0.0"}
    with duckdb.connect(tmp_path / "work.duckdb", config=config) as connection:
        connection.execute(EVENTS + "checkpoint")
        with connection.cursor() as other:
            other.execute("begin; create table other.unfinished as select 1 as one")
            connection.execute(NEW_DAY)
            release = releases.publish(connection, folder, marts_of(connection), {})
    assert "days" not in fact_of(release)
    with duckdb.connect(release / releases.DATABASE, read_only=True) as connection:
        changed = "select count(*) from marts.fct_compliance_events where user_age = 99"
        assert connection.sql(changed).fetchone() == (99_900,)


def test_only_days_that_changed_are_measured(folder, publish, monkeypatch):
    """And give the checksum that all days give when they are measured anew."""
    measured, measure = [], copies.measure

    def watch(connection, relation, columns, *days):
        measured.append(days)
        return measure(connection, relation, columns, *days)

    monkeypatch.setattr(copies, "measure", watch)
    first = fact_of(folder / publish(events=EVENTS))
    measured.clear()
    second = folder / publish(events=EVENTS)
    assert measured == [] and fact_of(second) == first
    measured.clear()
    release = folder / publish(NEW_DAY, events=EVENTS)
    assert [where for _, where in filter(None, measured)] == ["\"event_date\" in ('2026-01-03')"]
    fact = fact_of(release)
    assert [day for day in first["days"] if fact["days"][day] != first["days"][day]] == [
        "2026-01-03"
    ]
    compact = fact_of(folder / publish(NEW_DAY, events=EVENTS, is_compact=True))
    assert fact["checksum"] == compact["checksum"] != first["checksum"]
    # Another hash, other views: fingerprints say nothing.
    for change in ("version", "view"):
        publish(events=EVENTS)
        measured.clear()
        if change == "version":
            monkeypatch.setattr(duckdb, "__version__", "2.0.0")
        sql = "create or replace view marts.fct_compliance_events as select event_id, user_age,"
        sql += " region, event_date, minutes from marts.int_checked_events"
        sql += " where rejection_reasons is null and event_id >= 0;"
        publish(sql if change == "view" else "", events=EVENTS)
        (where,) = [where for _, where in filter(None, measured)]
        assert where.count("2026") == 4


# --- Keeping, verifying, rolling back ------------------------------------------------------------


def test_the_last_three_releases_are_kept_the_one_that_is_served_and_copies(folder, publish, first):
    """Copies that people made push no release out."""
    second = publish()
    copies = {f"{second} copy", f"{second}-old"}
    for copy in copies:
        shutil.copytree(folder / second, folder / copy)
    third, fourth = publish(), publish()
    assert {*names_in(folder)} == {second, third, fourth, *copies}
    assert releases.roll_back(folder, second).name == second
    newer = {f"20260101T000000.000000Z-{number}" for number in range(50, 53)}
    for name in newer:
        shutil.copytree(folder / fourth, folder / name)
    releases.remove_old_releases(folder)
    assert {*names_in(folder)} == {second, *newer, *copies}
    fifth = publish()
    assert {*names_in(folder)} == {*sorted(newer)[1:], fifth, *copies}
    assert current_release(folder).name == fifth


class Clock(datetime):
    """A clock that goes wrong."""

    error = timedelta()

    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + cls.error


def test_releases_follow_one_another_whatever_the_clock_says(
    folder, publish, first, ott, monkeypatch
):
    monkeypatch.setattr(releases, "datetime", Clock)
    order = [first.name]
    for days in (27_000, 0, -9_000, 1, 0):
        monkeypatch.setattr(Clock, "error", timedelta(days))
        order.append(publish())
        assert names_in(folder) == order[-releases.KEPT_RELEASES :]
        assert current_release(folder).name == order[-1]
    listed = [line.strip("* ").split()[0] for line in ott("list").stdout.splitlines()]
    assert listed == order[:-4:-1]
    for name in order[-2:-4:-1]:
        assert ott("rollback").stdout == f"Now served: {name}\n"
    assert "There is no earlier release" in ott("rollback").stderr
    # After a rollback the next one is the last one all the same.
    newest = publish()
    assert names_in(folder)[-1] == current_release(folder).name == newest
    assert releases.roll_back(folder, None).name == order[-1]


def test_releases_of_older_versions_come_first(folder, publish, first):
    """They are ordered by their names, even where a clock had run ahead."""
    older = first.rename(folder / "20990101T000000.000000Z").name
    (folder / "current").unlink()
    (folder / "current").symlink_to(older)
    names = [older, publish(), publish()]
    assert names_in(folder) == names
    for name in names[1::-1]:
        assert releases.roll_back(folder, None).name == name


def test_a_folder_in_place_of_the_link_is_told_and_stays(folder, publish, first, ott):
    """As after a backup that was restored without links: beside its release, or alone."""
    (folder / "current").unlink()
    shutil.copytree(first, folder / "current")
    (folder / "20260101T000000.000000Z").mkdir()
    before = sorted(folder.iterdir())
    for act in (publish, lambda: releases.roll_back(folder, first.name)):
        with pytest.raises(ReleaseError, match=r"current is a folder, not a link .* Ren"):
            act()
        assert sorted(folder.iterdir()) == before
    listing = ott("list")
    assert first.name in listing.stdout and "current is a folder" in listing.stderr
    # What the sentence says, where the release is not there.
    shutil.rmtree(first)
    (folder / "current").rename(first)
    listing = ott("list")
    assert first.name in listing.stdout and "No release is served" in listing.stderr
    assert ott("rollback", first.name).returncode == 0
    publish()


SHA = {"sha256": ""}
SOUND = {
    "release": "a",
    "git_commit": None,
    "database": SHA | {"bytes": 1},
    "marts": {"dim_users": {"rows": 1, "checksum": ""}},
}
MEASURES = (
    *(None, {"rows": "1", "checksum": ""}, {"rows": 1}),
    *({"rows": 1, "checksum": "", "days": days} for days in ([], None, {"2026-01-01": {}})),
)


@pytest.mark.parametrize(
    "content",
    [
        *("{}", "[]", "null", "1", '"text"', "", "{", "[" * 100_000, "\xff", '{"marts": NaN}'),
        *(json.dumps({key: SOUND[key] for key in SOUND if key != lost}) for lost in SOUND),
        *(json.dumps(SOUND | {key: odd}) for key in SOUND for odd in (1.5, [], [None], {"a": 1})),
        *(
            json.dumps(SOUND | {"database": {"bytes": size, "sha256": ""}})
            for size in (10**400, "1")
        ),
        *(json.dumps(SOUND | {"marts": {"dim_users": measure}}) for measure in MEASURES),
        json.dumps(SOUND | {"release": None}),
        json.dumps(SOUND | {"git_commit": "\ud800"}),
    ],
)
def test_a_damaged_manifest_is_told(folder, content, ott):
    for name, manifest in (("sound", json.dumps(SOUND)), ("damaged", content)):
        (folder / name).mkdir(parents=True)
        (folder / name / "manifest.json").write_bytes(manifest.encode("latin-1"))
    (folder / "current").symlink_to("damaged")
    for arguments in (["verify"], ["rollback", "damaged"], ["list"]):
        result = ott(*arguments)
        assert result.returncode == (arguments != ["list"])
        assert re.search(
            r"damaged/manifest.json (is damaged|cannot be read \(.*?\)).*\. Roll back to another",
            result.stdout + result.stderr,
        )
    assert "sound  1 marts  without events" in result.stdout


def test_releases_without_a_manifest_are_named_and_removed(folder, publish, first, ott):
    """But the one that is served, and no folder of another name."""
    lost = [folder / name for name in ("20200101T000000.000000Z", "20200101T000000.000000Z-7")]
    others = [folder / name for name in ("20200101T000000.000000Z-mine", "notes", "2020-01-01")]
    for path in (*lost, *others):
        path.mkdir()
        (path / "ott_compliance.duckdb").write_text("a file")
    (first / "manifest.json").unlink()
    listing = ott("list").stdout
    for path in (*lost, first):
        assert f"{path.name}  {path / 'manifest.json'} cannot be read" in listing
    kept = [publish() for _ in range(3)]
    assert not any(path.exists() for path in (*lost, first))
    assert all(path.exists() for path in others)
    assert names_in(folder) == kept


def test_only_releases_are_served(folder, first, ott):
    for copy in (".building-x", ".removing-y", "../other"):
        shutil.copytree(first, folder / copy)
    (folder / "link").symlink_to(first.name)
    name = first.name
    wrong = (".building-x", ".removing-y", "current", ".next", "link", "../other", "", ".")
    for path in (*wrong, f"./{name}", f"{name}/", f"{name}/../{name}", f"/{name}", str(first)):
        for act in ("verify", "rollback"):
            result = ott(act, path)
            assert result.returncode == 1 and "There is no release" in result.stderr, path
    assert current_release(folder) == first


# --- Two projects, one folder ---------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["release", "first/release"])
def test_a_project_does_not_publish_to_the_folder_of_another(
    tmp_path, publish, monkeypatch, shared
):
    monkeypatch.setenv("OTT_RELEASE_PATH", str(tmp_path / shared))
    served = publish(project="first")
    with pytest.raises(ReleaseError) as error:
        publish(project="second")
    assert f"releases of another project, {tmp_path / 'first'} on " in str(error.value)
    assert "build once with OTT_TAKE_OVER_RELEASES=1" in str(error.value)
    assert str(error.value).endswith(f"Still served: {served}")
    assert not list((tmp_path / shared).glob(".building-*"))
    # On purpose; from then on, the first is the other one.
    monkeypatch.setenv("OTT_TAKE_OVER_RELEASES", "1")
    publish(project="second")
    monkeypatch.delenv("OTT_TAKE_OVER_RELEASES")
    publish(project="second")
    with pytest.raises(ReleaseError, match=str(tmp_path / "second")):
        publish(project="first")


@pytest.mark.parametrize("is_inside", [True, False])
def test_a_project_that_changed_is_the_same_project(tmp_path, publish, monkeypatch, is_inside):
    if is_inside:
        monkeypatch.delenv("OTT_RELEASE_PATH")
    publish()
    # `make clean`, another database, another place, a new clone at the old place, a copy.
    (tmp_path / "project" / "work.duckdb").unlink()
    publish()
    publish(work="elsewhere.duckdb")
    (tmp_path / "project").rename(tmp_path / "moved")
    publish(project="moved")
    shutil.rmtree(tmp_path / "moved")
    publish(project="moved")
    if is_inside:
        shutil.copytree(tmp_path / "moved", tmp_path / "copy", symlinks=True)
        publish(project="copy")
        publish(project="moved")


def test_a_project_of_another_machine_may_be_there_still(tmp_path, publish, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "far")
        publish(project="first")
    shutil.rmtree(tmp_path / "first")
    with pytest.raises(ReleaseError, match="on far"):
        publish(project="second")
    # At the same place, as in a container whose name is another one each time.
    publish(project="first")


def test_releases_that_name_no_project_are_taken_over(folder, publish, first):
    manifest = releases.read_manifest(first)
    del manifest["project"]
    for number, content in enumerate((manifest, {}, manifest | {"project": 1})):
        overwrite(current_release(folder) / "manifest.json", json.dumps(content))
        publish(project=f"project {number}")


def test_leftovers_of_killed_runs_are_removed(folder, publish, first):
    for name in (".building-x", ".removing-y"):
        (folder / name).mkdir()
        (folder / name / "ott_compliance.duckdb").write_text("half a file")
    (folder / ".next").symlink_to("nowhere")
    second = publish()
    assert {path.name for path in folder.iterdir()} == {"current", ".lock", first.name, second}


@pytest.mark.parametrize("is_other_format", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("update marts.compliance_by_region set events = events + 1 where region = 'EU'",
         "compliance_by_region has other values"),
        ("delete from marts.fct_compliance_events where event_id = 17",
         "fct_compliance_events has 4999 rows, not 5000"),
        ("drop table marts.compliance_by_region", "compliance_by_region is missing"),
        ("create table marts.extra as select 1 as one", "extra is not in the manifest"),
        ("create schema other", "the file has changed, but no value in a mart"),
    ],
)  # fmt: skip
def test_verify_names_what_differs(first, ott, damage, message, is_other_format):
    """Checksums in manifests of another format are of another kind, and say nothing."""
    if is_other_format:
        manifest = releases.read_manifest(first)
        del manifest["format"]
        for measure in manifest["marts"].values():
            measure["checksum"] = "1"
        overwrite(first / "manifest.json", json.dumps(manifest))
        if "value" in message:
            message = "does not match its manifest: the file has changed. "
    assert ott("verify").stdout == f"{first.name} matches its manifest.\n"
    (first / "ott_compliance.duckdb").chmod(0o644)
    with duckdb.connect(first / "ott_compliance.duckdb") as connection:
        connection.execute(damage)
    result = ott("verify")
    assert result.returncode == 1 and message in result.stderr


@pytest.mark.parametrize("file", ["manifest.json", "ott_compliance.duckdb"])
def test_a_damaged_release_is_never_served_again(folder, publish, first, ott, file):
    second = publish()
    overwrite(first / file, (first / file).read_bytes()[:100])
    for act in ("verify", "rollback"):
        result = ott(act, first.name)
        assert result.returncode == 1 and f"{file} cannot be read" in result.stderr
    assert current_release(folder).name == second


def test_the_command_lists_verifies_and_rolls_back(folder, publish, first, ott, monkeypatch):
    """Behind a link as in any other folder."""
    folder.with_name("link").symlink_to(folder)
    monkeypatch.setenv("OTT_RELEASE_PATH", str(folder.with_name("link")))
    second = publish("delete from marts.fct_compliance_events where event_id = 17")
    listing = ott("list").stdout.splitlines()
    assert [line.split()[:2] for line in listing] == [["*", second], [first.name, "2"]]
    assert "4,999 events" in listing[0] and "5,000 events" in listing[1]
    assert ott("verify", first.name).returncode == 0
    assert ott("rollback").stdout == f"Now served: {first.name}\n"
    assert current_release(folder) == first
    assert "There is no earlier release" in ott("rollback").stderr
    result = ott("rollback", "yesterday")
    assert result.returncode == 1 and f"there are: {first.name}, {second}" in result.stderr
    assert ott("rollback", second).returncode == 0
    assert current_release(folder).name == second


@pytest.mark.parametrize("command", ["list", "verify", "rollback"])
def test_before_the_first_build_the_command_says_what_to_do(folder, ott, command):
    result = ott(command)
    assert result.returncode == 1 and "Run `make build` first." in result.stderr
