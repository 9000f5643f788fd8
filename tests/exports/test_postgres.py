"""The copy of a release to Postgres, on a server of its own: whole or not at all, always."""

import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pytest
from conftest import PROJECT, clean_environment

from ott.catalog import Release
from ott.exports import postgres as copier

OTT = [sys.executable, PROJECT / "scripts" / "ott", "postgres"]
PASSWORD = "correct horse"
TYPES = {
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "double precision",
    "INTEGER": "integer",
    "TIMESTAMP": "timestamp without time zone",
    "VARCHAR": "text",
}

# --- the server ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Database:
    """A server's database: anyone may connect by the socket, with a password by the port."""

    folder: Path
    port: int

    def dsn(self, user: str = "postgres") -> str:
        return f"host={self.folder} port={self.port} user={user} dbname=postgres"

    def connect(self, user: str = "postgres", **options) -> psycopg.Connection:
        return psycopg.connect(self.dsn(user), **options)

    def run(self, *statements: str) -> None:
        with self.connect(autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str) -> list[tuple]:
        with self.connect() as connection:
            return connection.execute(query).fetchall()

    def role(self) -> str:
        """Make a role of its own for a test; roles outlive the schemas."""
        name = f"Role-{uuid.uuid4().hex[:8]}"
        self.run(f'create role "{name}" login')
        return name


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    program = shutil.which("pg_ctl", path=str(folders[-1]) if folders else None)
    if program is None:
        pytest.skip("Postgres is not installed (on Debian: apt-get install postgresql)")
    # Postgres refuses to run as root, and the temporary folders of pytest are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="ott-pg-"))
    prefix = []
    if os.geteuid() == 0:
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres")
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def pg_ctl(action: str, *arguments: str) -> None:
        command = [*prefix, program, action, "-D", folder / "data", *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)

    authentication = f"--auth-local=trust --auth-host=scram-sha-256 --pwfile={folder}/password"
    options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        pg_ctl("init", "-o", f"-U postgres -E UTF8 --no-locale --no-sync {authentication}")
        pg_ctl("start", "-w", "-l", str(folder / "log"), "-o", options)
        yield Database(folder, port)
        pg_ctl("stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(server, monkeypatch) -> Iterator[Database]:
    """The database, empty at the start of every test, with copies that try often to swap."""
    monkeypatch.setattr(copier, "SECONDS_BETWEEN_ATTEMPTS", 0.05)
    yield server
    server.run(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()",
        "drop schema if exists marts, report cascade",
    )


# --- copies --------------------------------------------------------------------------------------


@pytest.fixture
def make_file(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a file with tables made by SQL statements in schema marts."""

    def make(*statements: str) -> Path:
        path = tmp_path / f"{uuid.uuid4().hex}.duckdb"
        with duckdb.connect(path) as connection:
            for statement in ("create schema marts", "use marts", *statements):
                connection.execute(statement)
        return path

    return make


@pytest.fixture
def versions(make_file) -> list[Path]:
    """Two releases, and the second one with a table beside it that takes a while to copy.

    `version` says of every row from which of them it is.
    """
    statement = "create table {} as select {} as version from range(100)"
    first, second = ([statement.format(name, version) for name in "ab"] for version in (1, 2))
    large = "create table large as select range as number, 'text' as text from range(300_000)"
    return [make_file(*first), make_file(*second), make_file(*second, large)]


EACH = [f"select version, count(*) from marts.{name} group by 1" for name in "ab"]
BOTH = f"select * from ({EACH[0]}) as a cross join ({EACH[1]}) as b"
WHOLE_OLD, WHOLE_NEW = [(1, 100, 1, 100)], [(2, 100, 2, 100)]


def copy(file: Path, database: Database, user: str = "postgres") -> None:
    with (
        Release(file) as source,
        database.connect(user, application_name="ott postgres") as target,
    ):
        copier.copy_release(source, target, file.stem, "marts", patience=60)


def start_copy(file: Path, database: Database) -> subprocess.Popen:
    """Start a copy in a process of its own, which can be killed."""
    code = (
        "import sys; from pathlib import Path; import psycopg; from ott.catalog import Release; "
        "from ott.exports import postgres; postgres.copy_release(Release(Path(sys.argv[1])), "
        "psycopg.connect(sys.argv[2]), 'a release', 'marts', 60)"
    )
    dsn = f"{database.dsn()} application_name='ott postgres'"
    return subprocess.Popen([sys.executable, "-c", code, file, dsn], cwd=PROJECT / "scripts")


def ott(*arguments: str, fails: int = 0, **environment: object) -> subprocess.CompletedProcess:
    """Run the command, which must end as told, and say at most one sentence when it fails."""
    inherited = {
        name: value for name, value in clean_environment().items() if not name.startswith("PG")
    }
    result = subprocess.run(
        [*OTT, *arguments],
        env={**inherited, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == fails, result.stderr
    if fails < 2:
        assert re.fullmatch(r".+\.\n" * fails, result.stderr), result.stderr
    return result


@pytest.fixture
def copy_served(database, release_file, monkeypatch) -> Callable[..., str]:
    """Return a function that copies the release of the seed build, which it has done once."""
    monkeypatch.setenv("OTT_RELEASE_PATH", str(release_file.parent.parent))

    def copy_again(dsn: str = database.dsn()) -> str:
        return copier.copy(dsn, "marts", None, 60)

    copy_again()
    return copy_again


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def queries_of_copies(database: Database) -> list[str]:
    """What the server does for copies; for a killed one it takes a moment to stop."""
    return [
        query
        for (query,) in database.rows(
            "select query from pg_stat_activity "
            "where application_name = 'ott postgres' and datname = current_database()"
        )
    ]


def wait_for_the_swap(database: Database) -> None:
    """Wait until a copy waits for the readers of the old tables."""
    wait_until(lambda: any("lock table" in query for query in queries_of_copies(database)))


@contextmanager
def held_up(
    file: Path, database: Database, isolation: str = "read committed"
) -> Iterator[tuple[psycopg.Connection, Future]]:
    """Yield a reader of table b, and a copy that waits for this reader."""
    with ThreadPoolExecutor() as pool, database.connect() as reader:
        reader.execute(f"set transaction isolation level {isolation}")
        assert reader.execute("select max(version) from marts.b").fetchone() == (1,)
        copying = pool.submit(copy, file, database)
        wait_for_the_swap(database)
        yield reader, copying


def tables(database: Database) -> dict[str, int]:
    """Return the identifiers of the tables by name; a copied table has another one."""
    return dict(
        database.rows(
            "select relname, oid::int from pg_class "
            "where relnamespace = 'marts'::regnamespace and relkind = 'r' order by 1"
        )
    )


# --- what arrives --------------------------------------------------------------------------------


def test_a_release_arrives_whole_twice_in_a_row(release_file, database):
    folder, release = release_file.parent.parent, release_file.parent.resolve().name
    ott("--dsn", database.dsn(), OTT_RELEASE_PATH=folder)
    by_environment = {"PGHOST": database.folder, "PGPORT": database.port, "PGUSER": "postgres"}
    second = ott(OTT_RELEASE_PATH=folder, PGDATABASE="postgres", **by_environment)
    assert re.fullmatch(
        rf"Copied release {release} to schema marts of database postgres: "
        r"\d+ tables, [\d,]+ rows, [\d.]+ seconds\.\n",
        second.stdout,
    )
    with duckdb.connect(release_file, read_only=True) as source:
        comments = source.execute(
            "select table_name, comment from duckdb_tables() order by 1"
        ).fetchall()
        columns = source.execute(
            "select table_name, column_name, data_type, comment from duckdb_columns() "
            "where schema_name = 'marts' order by table_name, column_index"
        ).fetchall()
        rows = {name: source.execute(f"from marts.{name}").fetchall() for name, _ in comments}
    assert len(rows) > 20
    for name, expected in rows.items():
        found = database.rows(f"select * from marts.{name}")
        # As text: there NaN equals itself, and 1 does not equal 1.0 or true.
        assert sorted(map(repr, found)) == sorted(map(repr, expected)), name
    in_marts = "where relnamespace = 'marts'::regnamespace and relkind = 'r'"
    found = database.rows(
        "select relname, attname, format_type(atttypid, atttypmod), "
        "col_description(attrelid, attnum) from pg_attribute "
        f"join pg_class on attrelid = pg_class.oid {in_marts} and attnum > 0 "
        "order by relname, attnum"
    )
    assert found == [(table, name, TYPES[type], text) for table, name, type, text in columns]
    assert all(comment for *_, comment in found)
    found = database.rows(
        f"select relname, obj_description(oid) from pg_class {in_marts} order by 1"
    )
    assert found == comments
    never_analyzed = f"select relname from pg_class {in_marts} and reltuples < 0"
    assert database.rows(never_analyzed) == []
    ((about,),) = database.rows("select obj_description('marts'::regnamespace, 'pg_namespace')")
    assert f"Release {release}" in about


HARD_VALUES = {
    "int1": ("tinyint", [None, -128, 127]),
    "int2": ("smallint", [None, -(2**15), 2**15 - 1]),
    "int4": ("integer", [None, -(2**31), 2**31 - 1]),
    "int8": ("bigint", [None, -(2**63), 2**63 - 1]),
    "float8": (
        "double",
        [None, *map(float, "nan inf -inf -0 5e-324 1.7976931348623157e308".split())],
    ),
    "decimal": ("decimal(18, 3)", [None, Decimal("-123456789012345.678"), Decimal("0.000")]),
    "truth": ("boolean", [None, True, False]),
    "day": ("date", [None, datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    "clock": ("time", [None, datetime.time(0), datetime.time(23, 59, 59, 999_999)]),
    "moment": (
        "timestamp",
        [
            None,
            datetime.datetime(1, 1, 1),
            datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
            datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
        ],
    ),
    "identity": ("uuid", [None, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
    "bytes": ("blob", [None, b"", b"\x00\xff\\"]),
    "text": (
        "varchar",
        [None, "", " ", "\\N", "NULL", "\\.", "a\tb\nc\rd", "'\"\\", "ümläut 日本 🎬", "\u2028"],
    ),
}


def test_hard_values_of_every_type_arrive_unchanged(make_file, database):
    file = make_file()
    with duckdb.connect(file) as connection:
        for name, (column_type, values) in HARD_VALUES.items():
            connection.execute(f'create table marts."{name}" ("the %s; ""column" {column_type})')
            connection.executemany(
                f'insert into marts."{name}" values ($1)', [[value] for value in values]
            )
        connection.execute("""comment on table marts.text is 'it''s "50 %s" of \\ ümläut'""")
    copy(file, database)
    for name, (_, values) in HARD_VALUES.items():
        found = [value for (value,) in database.rows(f"select * from marts.{name}")]
        assert list(map(repr, found)) == list(map(repr, values)), name
    comment = 'it\'s "50 %s" of \\ ümläut'
    assert database.rows("select obj_description('marts.text'::regclass)") == [(comment,)]


def test_the_character_nul_becomes_a_replacement_character(make_file, database):
    copy(make_file("create table t as select 'a' || chr(0) || 'b' as raw"), database)
    assert database.rows("select raw from marts.t") == [("a\ufffdb",)]


def test_a_type_that_postgres_lacks_is_named(make_file, database):
    file = make_file("create table t as select [1, 2] as numbers")
    with pytest.raises(copier.CopyError, match=r"Column numbers of table t has the type INTEGER\["):
        copy(file, database)


# --- whole or not at all -------------------------------------------------------------------------


def test_a_copy_killed_at_any_moment_leaves_all_or_nothing(versions, database):
    old, _, large = versions
    copy(old, database)
    started = time.monotonic()
    assert start_copy(large, database).wait() == 0
    duration = time.monotonic() - started
    among_the_rows = "select from pg_stat_progress_copy where tuples_processed > 500"
    seen = []
    for share in (None, 0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0):
        copy(old, database)
        copying = start_copy(large, database)
        if share is None:
            wait_until(lambda: database.rows(among_the_rows))
        else:
            time.sleep(share * duration)
        copying.kill()
        copying.wait()
        wait_until(lambda: not queries_of_copies(database))
        seen.append(database.rows(BOTH))
        assert seen[-1] in (WHOLE_OLD, WHOLE_NEW)
        assert [*tables(database)] == ["a", "b", "large"][: 2 if seen[-1] == WHOLE_OLD else 3]
    assert seen[0] == WHOLE_OLD
    copy(large, database)
    assert database.rows(BOTH) == WHOLE_NEW
    counts = database.rows("select count(*), count(distinct number) from marts.large")
    assert counts == [(300_000, 300_000)]


@pytest.mark.parametrize(
    ("sent", "returncode", "said"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, "", id="killed"),
        pytest.param(signal.SIGINT, 130, r"\nStopped; nothing is half done\.\n", id="interrupted"),
        pytest.param(
            None, 1, r"Postgres stopped the copy: .*; nothing is half done\.\n", id="server gone"
        ),
    ],
)
def test_a_copy_that_ends_before_the_swap_leaves_the_old_tables(
    copy_served, database, sent, returncode, said
):
    before = tables(database)
    with database.connect() as reader:
        reader.execute("select from marts.dim_users")
        command = [*OTT, "--dsn", database.dsn()]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as copying:
            wait_for_the_swap(database)
            if sent:
                copying.send_signal(sent)
            else:
                database.run(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where application_name = 'ott postgres'"
                )
            _, stderr = copying.communicate(timeout=60)
        assert copying.returncode == returncode
        assert re.fullmatch(said, stderr)
        wait_until(lambda: not queries_of_copies(database))
    assert tables(database) == before
    copy_served()
    assert tables(database).keys() == before.keys()


# --- readers -------------------------------------------------------------------------------------


def poll(database: Database, isolation: str, queries: list[str], stop: threading.Event) -> set:
    """Read in one transaction after another; return what they saw."""
    seen = set()
    with database.connect() as connection:
        while not stop.is_set():
            with connection.transaction():
                connection.execute(f"set transaction isolation level {isolation}")
                rows = [row for query in queries for row in connection.execute(query)]
            seen.add(sum(rows, ()))
    return seen


def test_readers_never_see_an_error_or_a_mix(versions, database):
    old, new, _ = versions
    copy(old, database)
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        polls = [
            pool.submit(poll, database, isolation, queries, stop)
            for isolation, queries in (
                ("read committed", [BOTH]),
                ("read committed", EACH),
                ("repeatable read", EACH),
                # Another order of the tables: this is where a deadlock could come from.
                ("serializable", EACH[::-1]),
            )
        ]
        try:
            for file in (new, old, new):
                copy(file, database)
        finally:
            stop.set()
    for seen in polls:
        assert seen.result() == {*WHOLE_OLD, *WHOLE_NEW}


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_transaction_that_has_read_an_old_table_reads_the_other_old_one(
    versions, database, isolation
):
    copy(versions[0], database)
    with held_up(versions[1], database, isolation) as (reader, copying):
        # A deadlock, if the copy kept the lock on a until it had one on b; after the second that is
        # Postgres's deadlock_timeout, it would be the reader who is cancelled.
        time.sleep(1.2)
        assert reader.execute("select max(version) from marts.a").fetchone() == (1,)
        assert copying.running()
    assert database.rows(BOTH) == WHOLE_NEW


def test_a_snapshot_older_than_the_copy_finds_the_new_tables_full(versions, database):
    copy(versions[0], database)
    with database.connect() as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        copy(versions[1], database)
        assert reader.execute(BOTH).fetchall() == WHOLE_NEW


def test_a_reader_who_does_not_finish_is_named(copy_served, database, release_file):
    with database.connect(application_name="A dashboard") as reader:
        reader.execute("select from marts.dim_users")
        arguments = ("--dsn", database.dsn(), "--wait", "0")
        said = ott(*arguments, fails=1, OTT_RELEASE_PATH=release_file.parent.parent).stderr
        assert f"A dashboard, process {reader.info.backend_pid} of user postgres" in said
        assert "--wait" in said
    copy_served()


# --- what the schema keeps -----------------------------------------------------------------------


def test_who_could_read_the_old_tables_can_read_the_new_ones(versions, database):
    copy(versions[0], database)
    role = database.role()
    database.run(
        f'grant usage on schema marts to "{role}"',
        f'grant select on marts.a to "{role}" with grant option',
        f'grant select (version) on marts.b to "{role}"',
        "grant select on marts.a to public",
    )
    access_lists = (
        "select relname, attname, relacl::text, attacl::text "
        "from pg_class join pg_attribute on attrelid = pg_class.oid "
        "where relnamespace = 'marts'::regnamespace and attnum > 0 order by 1, 2"
    )
    before = database.rows(access_lists)
    copy(versions[1], database)
    assert database.rows(access_lists) == before
    with database.connect(role) as reader:
        assert reader.execute("select max(version) from marts.b").fetchone() == (2,)


def test_another_shape_takes_the_place_of_the_old_one(make_file, versions, database):
    """Grants on what is gone are, too; default privileges open new tables and no closed ones."""
    copy(versions[0], database)
    role = database.role()
    database.run(
        f'grant usage on schema marts to "{role}"',
        f'grant select (version) on marts.a to "{role}"',
        f'grant select on marts.b to "{role}"',
        f'alter default privileges in schema marts grant select on tables to "{role}"',
    )
    a = "create table a as select 'three' as n, true as added"
    copy(make_file(a, "create table c as select 3 as n"), database)
    assert [*tables(database)] == ["a", "c"]
    assert database.rows("select * from marts.a") == [("three", True)]
    with database.connect(role) as reader:
        assert reader.execute("select n from marts.c").fetchone() == (3,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select n from marts.a")


def test_other_tables_in_the_schema_stay(versions, database):
    mine = [f"create table marts.{name} as select 'mine' as note" for name in ("b", "notes")]
    database.run("create schema marts", *mine)
    before = tables(database)
    with pytest.raises(copier.CopyError, match="has a table b that is not from an earlier copy"):
        copy(versions[0], database)
    assert tables(database) == before
    database.run("drop table marts.b")
    for file in versions[:2]:
        copy(file, database)
        assert database.rows("select note from marts.notes") == [("mine",)]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "create view report.v as select user_id from marts.dim_users",
            r"view report\.v depends on table marts\.dim_users; drop",
        ),
        (
            "create materialized view report.v as select user_id from marts.dim_users",
            r"view report\.v depends on table marts\.dim_users; drop",
        ),
        (
            "create function report.users() returns bigint language sql begin atomic "
            "select count(*) from marts.dim_users; end",
            r"function report\.users\(\) depends on table marts\.dim_users; drop",
        ),
        (
            "alter table marts.dim_users enable row level security",
            r"Table marts\.dim_users has row security",
        ),
    ],
)
def test_what_hangs_on_a_table_is_named_and_not_dropped(copy_served, database, statement, said):
    database.run("create schema report", statement)
    before = tables(database)
    with pytest.raises(copier.CopyError, match=said):
        copy_served()
    # What was made is there as long as its table is: a drop would have had to cascade.
    assert tables(database) == before


def test_row_security_that_comes_during_a_copy_is_not_lost(versions, database):
    copy(versions[0], database)
    with held_up(versions[1], database) as (reader, copying):
        database.run("alter table marts.a enable row level security")
        reader.rollback()
        with pytest.raises(copier.CopyError, match=r"Table marts\.a has row security"):
            copying.result()
    assert database.rows(BOTH) == WHOLE_OLD


def test_a_second_copy_at_the_same_time_says_so(versions, database):
    copy(versions[0], database)
    with held_up(versions[1], database):
        with pytest.raises(copier.CopyError, match="Another copy to schema marts is running"):
            copy(versions[0], database)
    assert database.rows(BOTH) == WHOLE_NEW


# --- what can be wrong ---------------------------------------------------------------------------


def test_a_release_that_is_not_as_published_is_refused(folder, database):
    file = folder / "current" / "ott_compliance.duckdb"
    file.chmod(0o644)
    with duckdb.connect(file) as connection:
        connection.execute("update marts.compliance_by_region set violation_events = 0")
    name = file.parent.resolve().name
    ott("--dsn", database.dsn(), "--release", name, fails=1, OTT_RELEASE_PATH=folder)
    assert database.rows("select from pg_namespace where nspname = 'marts'") == []


def test_no_release_yet_is_said(tmp_path):
    assert "There is no release" in ott(fails=1, OTT_RELEASE_PATH=tmp_path).stderr


def test_an_unreachable_server_is_said(release_file):
    dsn = "postgresql://somebody:secret@127.0.0.1:1/postgres"
    said = ott("--dsn", dsn, fails=1, OTT_RELEASE_PATH=release_file.parent.parent).stderr
    assert said.startswith("Postgres cannot be reached:") and "Connection refused" in said
    assert "secret" not in said


def test_the_environment_holds_the_password(server, monkeypatch):
    dsn = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    copier._connect(dsn).close()
    monkeypatch.setenv("PGPASSWORD", "topsecret")
    with pytest.raises(copier.CopyError, match=r"^(?!.*topsecret).*password authentication failed"):
        copier._connect(dsn)


NO_SERVER = "127.0.0.1:1"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://u:top+secret@{NO_SERVER}/db",
        f"postgresql://u:top:secret@{NO_SERVER}/db",
        f"postgresql://u:top@secret@{NO_SERVER}/db",
        f"postgresql://u:top/secret@{NO_SERVER}/db",
        f"postgresql://u:top?secret@{NO_SERVER}/db",
        f"postgresql://u:top%secret@{NO_SERVER}/db",
        f"postgresql://u:top%40secret@{NO_SERVER}/db",
        f"postgresql://u:[top]secret@{NO_SERVER}/db",
        f"postgresql://u:top@secret:{NO_SERVER}/db",
        f"postgresql://u:topsecret@[{NO_SERVER}/db",
        f"postgresql://u:topsecret%00@{NO_SERVER}/db",
        f"postgresql://u:topsecret@{NO_SERVER}/db?sslmode=topsecret",
        f"postgresql://u:topsecret@{NO_SERVER}/db?nonsense=1",
        f"postgresql://u@{NO_SERVER}/db?password=top&secret",
        f"postgresql://{NO_SERVER}/db?user=u:topsecret",
        "postgresql://u:topsecret@127.0.0.1:port/db",
        "postgresql://u:topsecret@127.0.0.1:1:1/db",
        "postgresql://u:topsecret@127.0.0.1:99999/db",
        "postgresql://u:topsecret@nowhere.invalid/db",
        "postgresql://u:topsecret/db",
        "postgresql://u:topsecret",
        f"postgres//u:topsecret@{NO_SERVER}/db",
        f"u:topsecret@{NO_SERVER}/db",
        f" postgresql://u:topsecret@{NO_SERVER}/db?sslmode=require",
        f"jdbc:postgresql://{NO_SERVER}/db?user=u&password=topsecret",
        f"dbname=postgresql://u:topsecret@{NO_SERVER}/db host=127.0.0.1 port=1",
        f"host=postgresql://u:topsecret@{NO_SERVER}/db",
        "host=127.0.0.1 port=1 password=topsecret",
        "host=127.0.0.1 port=1 password=top secret",
        "host=127.0.0.1 port=1 password='topsecret",
        "host=127.0.0.1 port=1 password='top'secret'",
        "host=127.0.0.1 port=1 password=topsecret connect_timeout=soon",
        "host=127.0.0.1 port=1 password=topsecret sslmode=topsecret",
        "host=127.0.0.1 port=1 user='u password=topsecret'",
        "host=127.0.0.1 port=1 passwrod=topsecret",
        "host=127.0.0.1 port=topsecret",
        "host=127.0.0.1 port=1 hostaddr=topsecret",
        "host=a..b password=topsecret",
        "host=127.0.0.1 port=1 password=tops\udce4secret",
    ],
)
def test_no_error_shows_a_password_or_a_piece_of_it(dsn):
    with pytest.raises(copier.CopyError) as error:
        copier._connect(dsn)
    assert not re.search("top|secret", str(error.value))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://topsecret:topsecret@127.0.0.1:{port}/postgres",
        "host={folder} port={port} user=postgres dbname=u:topsecret@nowhere/db",
        "host={folder} port={port} user=u:topsecret dbname=postgres",
        "host={folder} port={port} user=postgres dbname='db password=topsecret'",
    ],
)
def test_a_server_that_repeats_a_password_is_not_shown(server, dsn):
    """Here as the name of a user, of a database, and of one that is there."""
    with pytest.raises(copier.CopyError) as error:
        copier._connect(dsn.format(port=server.port, folder=server.folder))
    assert "topsecret" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["postgresql://u:topsecret@127.0.0.1:1/db"],
        ["--dns", "postgresql://u:topsecret@127.0.0.1:1/db"],
        ["--dsn", "host=127.0.0.1", "port=1", "password=topsecret"],
        ["--dsn", "host=127.0.0.1", "--password=topsecret"],
    ],
)
def test_unknown_arguments_are_not_shown(arguments):
    said = ott(*arguments, fails=2).stderr
    assert "unknown arguments" in said and "topsecret" not in said


def test_missing_rights_are_said(copy_served, database):
    database.run("drop schema marts cascade")
    with pytest.raises(copier.CopyError, match=r"permission denied for database.*CREATE"):
        copy_served(database.dsn(database.role()))


def test_a_user_who_owns_the_schema_needs_no_more_rights(versions, database):
    """Nor do limits that the server sets for statements stop a copy."""
    role = database.role()
    database.run(
        f'create schema marts authorization "{role}"',
        *(
            f"alter role \"{role}\" set {name}_timeout = '50ms'"
            for name in ("statement", "lock", "idle_in_transaction_session")
        ),
    )
    for file in (versions[0], versions[2]):
        copy(file, database, role)
    assert database.rows(BOTH) == WHOLE_NEW
