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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pytest

from ott.catalog import Release
from ott.exports import postgres as copier

OTT = Path(__file__).parents[2] / "scripts" / "ott"

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
class Server:
    """A running Postgres: anyone may connect by the socket, with a password by the port."""

    folder: Path
    port: int

    def dsn(self, database: str, user: str = "postgres") -> str:
        return f"host={self.folder} port={self.port} user={user} dbname={database}"


@dataclass(frozen=True)
class Database:
    """A database on the server, empty at the start of every test."""

    server: Server
    name: str

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.name)

    def connect(self, user: str = "postgres", **options) -> psycopg.Connection:
        return psycopg.connect(self.server.dsn(self.name, user), **options)

    def run(self, *statements: str) -> None:
        with self.connect(autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str, *parameters) -> list[tuple]:
        with self.connect() as connection:
            return connection.execute(query, parameters or None).fetchall()

    def role(self, privileges: str = "") -> str:
        """Make a role of its own for a test; roles belong to all databases of a server."""
        name = f"Role-{uuid.uuid4().hex[:8]}"
        self.run(f"create role \"{name}\" login password '{PASSWORD}' {privileges}")
        return name


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
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

    def run(tool: str, *arguments: object) -> None:
        command = [*prefix, str(Path(program).with_name(tool)), *map(str, arguments)]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)

    data, log = folder / "data", folder / "log"
    initdb = ("-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync")
    authentication = ("--auth-local=trust", "--auth-host=scram-sha-256")
    options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off"
    try:
        run("initdb", "-D", data, *initdb, *authentication, f"--pwfile={folder / 'password'}")
        run("pg_ctl", "-D", data, "-w", "-l", log, "-o", options, "start")
        yield Server(folder, port)
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(server) -> Iterator[Database]:
    database = Database(server, "postgres")
    yield database
    database.run(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()",
        "drop schema if exists marts, report cascade",
    )


# --- releases ------------------------------------------------------------------------------------


@pytest.fixture
def make_file(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a file with tables made by SQL statements in schema marts."""

    def make(*statements: str) -> Path:
        path = tmp_path / f"{uuid.uuid4().hex}.duckdb"
        with duckdb.connect(path) as connection:
            connection.execute("create schema marts; use marts")
            for statement in statements:
                connection.execute(statement)
        return path

    return make


@pytest.fixture
def versions(make_file) -> tuple[Path, Path]:
    """Two releases; `version` says of every row from which of them it is."""
    return tuple(
        make_file(
            *(
                f"create table {name} as select {version} as version from range(100)"
                for name in "ab"
            )
        )
        for version in (1, 2)
    )


def copy(file: Path, database: Database, user: str = "postgres", patience: float = 60) -> None:
    with (
        Release(file) as source,
        database.connect(user, application_name="ott postgres") as target,
    ):
        copier.copy_release(source, target, file.stem, "marts", patience)


def start_copy(file: Path, database: Database) -> subprocess.Popen:
    """Start a copy in a process of its own, which can be killed."""
    code = (
        "import sys; from pathlib import Path; import psycopg; from ott.catalog import Release; "
        "from ott.exports import postgres; postgres.copy_release(Release(Path(sys.argv[1])), "
        "psycopg.connect(sys.argv[2]), 'a release', 'marts', 60)"
    )
    dsn = f"{database.dsn} application_name='ott postgres'"
    return subprocess.Popen([sys.executable, "-c", code, file, dsn], cwd=OTT.parent)


def run_script(
    release_folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PG", "OTT_"))
    }
    return subprocess.run(
        [sys.executable, OTT, "postgres", *arguments],
        env={**inherited, "OTT_RELEASE_PATH": str(release_folder), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def one_sentence(result: subprocess.CompletedProcess) -> str:
    """Return what a failed run says, which must be a sentence and no traceback."""
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.endswith(".\n"), result.stderr
    return result.stderr


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def copies_running(database: Database) -> list[tuple]:
    """Processes of the server that work for a copy; those of a killed one take a moment to go."""
    return database.rows(
        "select pid, query from pg_stat_activity "
        "where application_name = 'ott postgres' and datname = current_database()"
    )


def table_names(database: Database) -> list[str]:
    return [
        name
        for (name,) in database.rows(
            "select relname from pg_class where relnamespace = 'marts'::regnamespace "
            "and relkind = 'r' order by relname"
        )
    ]


def version(database: Database) -> list[tuple]:
    return database.rows(
        "select a.version, b.version, count(*) from marts.a cross join marts.b group by 1, 2"
    )


WHOLE_OLD, WHOLE_NEW = [(1, 1, 10_000)], [(2, 2, 10_000)]


# --- what arrives --------------------------------------------------------------------------------


def test_a_release_arrives_whole_twice_in_a_row(release_file, database):
    folder = release_file.parent.parent
    first = run_script(folder, "--dsn", database.dsn)
    assert (first.returncode, first.stderr) == (0, "")
    second = run_script(
        folder,
        PGHOST=str(database.server.folder),
        PGPORT=str(database.server.port),
        PGUSER="postgres",
        PGDATABASE=database.name,
    )
    assert (second.returncode, second.stderr) == (0, "")
    release = release_file.parent.resolve().name
    assert re.fullmatch(
        rf"Copied release {release} to schema marts of database {database.name}: "
        r"\d+ tables, [\d,]+ rows, [\d.]+ seconds\.\n",
        second.stdout,
    )

    with duckdb.connect(release_file, read_only=True) as source:
        names = [
            name
            for (name,) in source.execute(
                "select table_name from duckdb_tables() order by table_name"
            ).fetchall()
        ]
        assert len(names) > 20
        assert table_names(database) == names
        for name in names:
            expected = source.execute(f"from marts.{name}").fetchall()
            found = database.rows(f"select * from marts.{name}")
            # As text: there NaN equals itself, and 1 does not equal 1.0 or true.
            assert sorted(map(repr, found)) == sorted(map(repr, expected)), name
        expected = source.execute(
            "select table_name, column_name, data_type, comment from duckdb_columns() "
            "where schema_name = 'marts' order by table_name, column_index"
        ).fetchall()
        found = database.rows(
            "select relname, attname, format_type(atttypid, atttypmod), "
            "col_description(attrelid, attnum) from pg_attribute "
            "join pg_class on attrelid = pg_class.oid "
            "where relnamespace = 'marts'::regnamespace and attnum > 0 and relkind = 'r' "
            "order by relname, attnum"
        )
        assert found == [(table, name, TYPES[type], text) for table, name, type, text in expected]
        assert all(comment for *_, comment in found)
        comments = source.execute(
            "select table_name, comment from duckdb_tables() order by table_name"
        ).fetchall()
    found = database.rows(
        "select relname, obj_description(oid), reltuples::int from pg_class "
        "where relnamespace = 'marts'::regnamespace and relkind = 'r' order by relname"
    )
    assert [row[:2] for row in found] == comments
    assert all(rows >= 0 for *_, rows in found), "a table was never analyzed"
    (about,) = database.rows("select obj_description('marts'::regnamespace, 'pg_namespace')")
    assert f"Release {release}" in about[0]


HARD_VALUES = {
    "int1": ("tinyint", [None, -128, 127]),
    "int2": ("smallint", [None, -(2**15), 2**15 - 1]),
    "int4": ("integer", [None, -(2**31), 2**31 - 1]),
    "int8": ("bigint", [None, -(2**63), 2**63 - 1]),
    "float8": (
        "double",
        [
            None,
            float("nan"),
            float("inf"),
            -float("inf"),
            -0.0,
            5e-324,
            1.7976931348623157e308,
            0.1,
        ],
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
    assert database.rows("select obj_description('marts.text'::regclass)") == [
        ('it\'s "50 %s" of \\ ümläut',)
    ]


def test_the_character_nul_becomes_a_replacement_character(make_file, database):
    copy(make_file("create table t as select 'a' || chr(0) || 'b' as raw"), database)
    assert database.rows("select raw from marts.t") == [("a\ufffdb",)]


def test_a_type_that_postgres_lacks_is_named(make_file, database):
    file = make_file("create table t as select [1, 2] as numbers")
    with pytest.raises(copier.CopyError, match=r"Column numbers of table t has the type INTEGER\["):
        copy(file, database)


def test_another_shape_takes_the_place_of_the_old_one(make_file, database):
    copy(
        make_file(
            "create table changed as select 1 as number, 'old' as gone",
            "create table removed as select 1 as number",
        ),
        database,
    )
    copy(
        make_file(
            "create table changed as select 'two' as number, true as added",
            "create table added as select 2 as number",
        ),
        database,
    )
    assert table_names(database) == ["added", "changed"]
    assert database.rows("select * from marts.changed") == [("two", True)]


# --- whole or not at all -------------------------------------------------------------------------


@pytest.fixture
def large_version(make_file) -> Path:
    """The second of the two versions, with a table beside it that takes a while to copy."""
    return make_file(
        "create table a as select 2 as version from range(100)",
        "create table b as select 2 as version from range(100)",
        "create table large as select range as number, 'text' as text from range(300_000)",
    )


def kill(copying: subprocess.Popen, database: Database) -> None:
    copying.kill()
    copying.wait()
    wait_until(lambda: not copies_running(database))


def test_a_copy_killed_among_the_rows_leaves_the_old_tables(versions, large_version, database):
    copy(versions[0], database)
    copying = start_copy(large_version, database)
    wait_until(
        lambda: database.rows("select from pg_stat_progress_copy where tuples_processed > 500")
    )
    kill(copying, database)
    assert version(database) == WHOLE_OLD
    assert table_names(database) == ["a", "b"]
    copy(large_version, database)
    assert version(database) == WHOLE_NEW
    counts = database.rows("select count(*), count(distinct number) from marts.large")
    assert counts == [(300_000, 300_000)]


def test_a_copy_killed_before_the_swap_leaves_the_old_tables(versions, database):
    copy(versions[0], database)
    with database.connect() as reader:
        reader.execute("select from marts.b")
        copying = start_copy(versions[1], database)
        wait_until(lambda: any("lock table" in query for _, query in copies_running(database)))
        kill(copying, database)
    assert version(database) == WHOLE_OLD
    assert table_names(database) == ["a", "b"]
    copy(versions[1], database)
    assert version(database) == WHOLE_NEW


def test_a_copy_killed_at_any_moment_leaves_all_or_nothing(versions, large_version, database):
    copy(versions[0], database)
    started = time.monotonic()
    assert start_copy(large_version, database).wait() == 0
    duration = time.monotonic() - started
    seen = []
    for share in (0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0):
        copy(versions[0], database)
        copying = start_copy(large_version, database)
        time.sleep(share * duration)
        kill(copying, database)
        seen.append(version(database))
        expected = ["a", "b"] if seen[-1] == WHOLE_OLD else ["a", "b", "large"]
        assert table_names(database) == expected
    assert all(state in (WHOLE_OLD, WHOLE_NEW) for state in seen)
    assert WHOLE_OLD in seen


# --- readers -------------------------------------------------------------------------------------


def poll(database: Database, queries: list[str], isolation: str, stop: threading.Event) -> list:
    """Read in one transaction after another; return what each saw, or its error."""
    seen = []
    with database.connect() as connection:
        while not stop.is_set():
            try:
                with connection.transaction():
                    connection.execute(f"set transaction isolation level {isolation}")
                    seen.append(
                        tuple(row for query in queries for row in connection.execute(query))
                    )
            except psycopg.Error as error:
                seen.append(error)
                break
    return seen


def test_readers_never_see_an_error_or_a_mix(versions, database, monkeypatch):
    monkeypatch.setattr(copier, "SECONDS_BETWEEN_ATTEMPTS", 0.05)
    copy(versions[0], database)
    each = [f"select {{}}, version, count(*) from marts.{name} group by 2" for name in "ab"]
    together = [
        "select a.version, b.version, count(*) from marts.a cross join marts.b group by 1, 2"
    ]
    polls = [
        (together, "read committed"),
        (each, "read committed"),
        (each, "repeatable read"),
        # Another order of the tables: this is where a deadlock could come from.
        (each[::-1], "serializable"),
    ]
    results: list[list] = [[] for _ in polls]
    stop = threading.Event()

    def run(number: int) -> None:
        queries, isolation = polls[number]
        queries = [query.format(number) for query in queries]
        results[number] = poll(database, queries, isolation, stop)

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(polls))]
    for thread in threads:
        thread.start()
    for file in [*versions[::-1], versions[1]]:
        copy(file, database)
    stop.set()
    for thread in threads:
        thread.join()

    for number, seen in enumerate(results):
        whole = {
            ((old, old, 10_000),) if polls[number][0] is together else ((number, old, 100),) * 2
            for old in (1, 2)
        }
        assert set(seen) == whole


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_transaction_that_has_read_an_old_table_reads_the_other_old_one(
    versions, database, monkeypatch, isolation
):
    monkeypatch.setattr(copier, "SECONDS_BETWEEN_ATTEMPTS", 0.05)
    copy(versions[0], database)
    with database.connect() as reader:
        reader.execute(f"set transaction isolation level {isolation}")
        assert reader.execute("select max(version) from marts.b").fetchone() == (1,)
        copying = threading.Thread(target=copy, args=[versions[1], database])
        copying.start()
        wait_until(lambda: any("lock table" in query for _, query in copies_running(database)))
        # A deadlock, if the copy kept the lock on a until it had one on b; after the second that is
        # Postgres's deadlock_timeout, it would be the reader who is cancelled.
        time.sleep(1.2)
        assert reader.execute("select max(version) from marts.a").fetchone() == (1,)
        assert copying.is_alive()
    copying.join()
    assert version(database) == WHOLE_NEW


def test_a_snapshot_older_than_the_copy_finds_the_new_tables_full(versions, database):
    copy(versions[0], database)
    with database.connect() as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        copy(versions[1], database)
        assert reader.execute("select version, count(*) from marts.a group by 1").fetchall() == [
            (2, 100)
        ]


def test_a_reader_who_does_not_finish_is_named(versions, database, release_file):
    folder = release_file.parent.parent
    assert run_script(folder, "--dsn", database.dsn).returncode == 0
    with database.connect(application_name="A dashboard") as reader:
        reader.execute("select from marts.dim_users")
        result = run_script(folder, "--dsn", database.dsn, "--wait", "0")
        said = one_sentence(result)
        assert f"A dashboard, process {reader.info.backend_pid} of user postgres" in said
        assert "--wait" in said
    assert run_script(folder, "--dsn", database.dsn).returncode == 0


# --- what the schema keeps -----------------------------------------------------------------------


def privileges(database: Database, role: str) -> dict[str, bool]:
    (answers,) = database.rows(
        "select has_schema_privilege(%(r)s, 'marts', 'usage'), "
        "has_table_privilege(%(r)s, 'marts.a', 'select'), "
        "has_table_privilege(%(r)s, 'marts.b', 'select'), "
        "has_column_privilege(%(r)s, 'marts.b', 'version', 'select'), "
        "has_table_privilege(%(r)s, 'marts.a', 'insert')".replace("%(r)s", f"'{role}'")
    )
    names = ("schema", "table a", "table b", "column of b", "insert into a")
    return dict(zip(names, answers, strict=True))


def test_who_could_read_the_old_tables_can_read_the_new_ones(versions, database):
    copy(versions[0], database)
    role = database.role()
    database.run(
        f'grant usage on schema marts to "{role}"',
        f'grant select on marts.a to "{role}" with grant option',
        f'grant select (version) on marts.b to "{role}"',
        "grant select on marts.a to public",
    )
    before = privileges(database, role)
    access_lists = (
        "select relname, relacl::text from pg_class where relname in ('a', 'b') order by 1"
    )
    lists = database.rows(access_lists)
    copy(versions[1], database)
    assert privileges(database, role) == before
    assert before == {
        "schema": True,
        "table a": True,
        "table b": False,
        "column of b": True,
        "insert into a": False,
    }
    assert database.rows(access_lists) == lists
    with database.connect(role) as reader:
        assert reader.execute("select max(version) from marts.b").fetchone() == (2,)


def test_default_privileges_open_new_tables_and_no_closed_ones(make_file, versions, database):
    copy(versions[0], database)
    role = database.role()
    database.run(
        f'grant usage on schema marts to "{role}"',
        f'alter default privileges in schema marts grant select on tables to "{role}"',
    )
    copy(make_file("create table a as select 3 as n", "create table c as select 3 as n"), database)
    with database.connect(role) as reader:
        assert reader.execute("select n from marts.c").fetchone() == (3,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select n from marts.a")


def test_other_tables_in_the_schema_stay(versions, database):
    database.run("create schema marts", "create table marts.notes as select 'mine' as note")
    for file in versions:
        copy(file, database)
        assert database.rows("select note from marts.notes") == [("mine",)]


def test_a_table_of_somebody_else_is_not_replaced(versions, database):
    database.run("create schema marts", "create table marts.b as select 'mine' as note")
    with pytest.raises(copier.CopyError, match="has a table b that is not from an earlier copy"):
        copy(versions[0], database)
    assert table_names(database) == ["b"]
    assert database.rows("select note from marts.b") == [("mine",)]


@pytest.mark.parametrize("kind", ["view", "materialized view"])
def test_a_view_on_the_tables_is_named_and_not_dropped(versions, database, kind):
    copy(versions[0], database)
    database.run("create schema report", f"create {kind} report.v as select version from marts.a")
    with pytest.raises(copier.CopyError, match=r"view report\.v depends on table marts\.a; drop"):
        copy(versions[1], database)
    assert version(database) == WHOLE_OLD
    assert database.rows("select max(version) from report.v") == [(1,)]


def test_anything_else_that_hangs_on_a_table_is_named_and_not_dropped(release_file, database):
    folder = release_file.parent.parent
    assert run_script(folder, "--dsn", database.dsn).returncode == 0
    database.run(
        "create function users() returns bigint language sql begin atomic "
        "select count(*) from marts.dim_users; end"
    )
    said = one_sentence(run_script(folder, "--dsn", database.dsn))
    assert "function users() depends on table marts.dim_users" in said
    assert database.rows("select users() > 0") == [(True,)]


def test_row_security_is_not_lost(versions, database):
    copy(versions[0], database)
    database.run("alter table marts.b enable row level security")
    with pytest.raises(copier.CopyError, match=r"Table marts\.b has row security"):
        copy(versions[1], database)
    assert version(database) == WHOLE_OLD


def test_row_security_that_comes_during_a_copy_is_not_lost(versions, database, monkeypatch):
    monkeypatch.setattr(copier, "SECONDS_BETWEEN_ATTEMPTS", 0.05)
    copy(versions[0], database)
    with ThreadPoolExecutor() as pool, database.connect() as reader:
        reader.execute("select from marts.a")
        copying = pool.submit(copy, versions[1], database)
        wait_until(lambda: any("lock table" in query for _, query in copies_running(database)))
        database.run("alter table marts.b enable row level security")
        reader.rollback()
        with pytest.raises(copier.CopyError, match=r"Table marts\.b has row security"):
            copying.result()
    assert version(database) == WHOLE_OLD


def test_a_second_copy_at_the_same_time_says_so(versions, database, monkeypatch):
    monkeypatch.setattr(copier, "SECONDS_BETWEEN_ATTEMPTS", 0.05)
    copy(versions[0], database)
    with database.connect() as reader:
        reader.execute("select from marts.a")
        first = threading.Thread(target=copy, args=[versions[1], database])
        first.start()
        wait_until(lambda: any("lock table" in query for _, query in copies_running(database)))
        with pytest.raises(copier.CopyError, match="Another copy to schema marts is running"):
            copy(versions[0], database)
    first.join()
    assert version(database) == WHOLE_NEW


# --- what can be wrong ---------------------------------------------------------------------------


def test_a_release_that_is_not_as_published_is_refused(release_file, database, tmp_path):
    release = tmp_path / "release" / release_file.parent.resolve().name
    shutil.copytree(release_file.parent.resolve(), release)
    file = release / release_file.name
    release.chmod(0o755)
    file.chmod(0o644)
    with duckdb.connect(file) as connection:
        connection.execute("update marts.compliance_by_region set violation_events = 0")
    one_sentence(run_script(release.parent, "--dsn", database.dsn, "--release", release.name))
    assert database.rows("select from pg_namespace where nspname = 'marts'") == []


def test_no_release_yet_is_said(server, tmp_path):
    one_sentence(run_script(tmp_path, "--dsn", server.dsn("postgres")))


def test_an_unreachable_server_is_said(release_file):
    dsn = "postgresql://somebody:secret@127.0.0.1:1/postgres"
    said = one_sentence(run_script(release_file.parent.parent, "--dsn", dsn))
    assert said.startswith("Postgres cannot be reached:") and "Connection refused" in said
    assert "secret" not in said


def test_a_wrong_password_is_said(release_file, server):
    dsn = f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
    folder = release_file.parent.parent
    said = one_sentence(run_script(folder, "--dsn", dsn, PGPASSWORD="wrong"))
    assert "password authentication failed" in said and "wrong" not in said


def test_the_right_password_from_the_environment_is_used(release_file, database):
    dsn = f"postgresql://postgres@127.0.0.1:{database.server.port}/{database.name}"
    result = run_script(release_file.parent.parent, "--dsn", dsn, PGPASSWORD=PASSWORD)
    assert result.returncode == 0, result.stderr


def test_a_connection_string_that_cannot_be_read_is_said(release_file):
    one_sentence(run_script(release_file.parent.parent, "--dsn", "postgres//nonsense"))


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


def test_a_server_that_repeats_a_password_is_not_shown(release_file, server):
    """Here as the name of a user, of a database, and of one that is there."""
    folder, port = release_file.parent.parent, server.port
    for dsn in (
        f"postgresql://topsecret:topsecret@127.0.0.1:{port}/postgres",
        f"host={server.folder} port={port} user=postgres dbname=u:topsecret@nowhere/db",
        f"host={server.folder} port={port} user=u:topsecret dbname=postgres",
        f"host={server.folder} port={port} user=postgres dbname='db password=topsecret'",
    ):
        assert "topsecret" not in one_sentence(run_script(folder, "--dsn", dsn))


@pytest.mark.parametrize(
    "arguments",
    [
        ["postgresql://u:topsecret@127.0.0.1:1/db"],
        ["--dns", "postgresql://u:topsecret@127.0.0.1:1/db"],
        ["--dsn", "host=127.0.0.1", "port=1", "password=topsecret"],
        ["--dsn", "host=127.0.0.1", "--password=topsecret"],
    ],
)
def test_unknown_arguments_are_not_shown(arguments, tmp_path):
    result = run_script(tmp_path, *arguments)
    assert result.returncode == 2
    assert "unknown arguments" in result.stderr and "topsecret" not in result.stderr


def test_missing_rights_are_said(release_file, database):
    dsn = database.server.dsn(database.name, database.role())
    said = one_sentence(run_script(release_file.parent.parent, "--dsn", dsn))
    assert "permission denied for database" in said and "CREATE" in said


def test_a_user_who_owns_the_schema_needs_no_more_rights(versions, database):
    role = database.role()
    database.run(f'create schema marts authorization "{role}"')
    for file in versions:
        copy(file, database, role)
    assert version(database) == WHOLE_NEW


def test_limits_that_the_server_sets_for_statements_do_not_stop_a_copy(large_version, database):
    role = database.role()
    database.run(
        f'create schema marts authorization "{role}"',
        *(
            f"alter role \"{role}\" set {name} = '50ms'"
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ),
    )
    copy(large_version, database, role)
    assert version(database) == WHOLE_NEW


@pytest.fixture
def waiting_copy(release_file, database) -> Iterator[subprocess.Popen]:
    """A second copy, which waits for a reader of the tables of the first."""
    folder = release_file.parent.parent
    assert run_script(folder, "--dsn", database.dsn).returncode == 0
    with database.connect() as reader:
        reader.execute("select from marts.dim_users")
        with subprocess.Popen(
            [sys.executable, OTT, "postgres", "--dsn", database.dsn],
            env={**os.environ, "OTT_RELEASE_PATH": str(folder)},
            stderr=subprocess.PIPE,
            text=True,
        ) as copying:
            wait_until(lambda: any("lock table" in query for _, query in copies_running(database)))
            yield copying
    assert database.rows("select from marts.dim_users")


def test_a_server_that_goes_away_is_said(waiting_copy, database):
    database.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where application_name = 'ott postgres' and datname = current_database()"
    )
    _, said = waiting_copy.communicate(timeout=60)
    assert waiting_copy.returncode == 1
    assert re.fullmatch(r"Postgres stopped the copy: .*; nothing is half done\.\n", said)


def test_an_interrupted_copy_stops_without_a_traceback(waiting_copy):
    waiting_copy.send_signal(signal.SIGINT)
    _, said = waiting_copy.communicate(timeout=60)
    assert (waiting_copy.returncode, said) == (130, "\nStopped; nothing is half done.\n")
