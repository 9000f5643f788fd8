"""The copy of a release to Postgres, on a server of its own: whole or not at all, always."""

import datetime as dt
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import duckdb
import psycopg
import pytest
from conftest import PROJECT

from ott.catalog import Release
from ott.exports import postgres as copier

OTT = [sys.executable, PROJECT / "scripts" / "ott", "postgres"]
PASSWORD = "correct horse"
# Types of the release, where Postgres calls them otherwise.
TYPES = dict(DOUBLE="double precision", TIMESTAMP="timestamp without time zone", VARCHAR="text")
# What both tables of `versions` hold.
EACH = [f"select version, count(*) from marts.{name} group by 1" for name in "ab"]
BOTH = f"select * from ({EACH[0]}) as a cross join ({EACH[1]}) as b"
WHOLE_OLD, WHOLE_NEW = [(1, 100, 1, 100)], [(2, 100, 2, 100)]
IN_MARTS = "relnamespace = 'marts'::regnamespace and relkind = 'r'"
# What the server does for copies; it takes a moment to see that one has been killed.
COPIES = "from pg_stat_activity where application_name = 'ott postgres'"
NO_COPY = f"select where not exists (select {COPIES})"
END_COPY = f"select pg_terminate_backend(pid) {COPIES}"
WAITING_COPY = f"select {COPIES} and query like 'lock table%'"


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, str]]:
    """The settings to reach it: by the socket without a password, by the port with one."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    program = shutil.which("pg_ctl", path=str(folders[-1]) if folders else None)
    if program is None:
        pytest.skip("Postgres is not installed (on Debian: apt-get install postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The temporary folders of pytest are closed to others, and Postgres refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="ott-pg-") as folder:
        Path(folder, "password").write_text(PASSWORD)
        pg_ctl = [program, "-D", f"{folder}/data", "-l", f"{folder}/log", "-o"]
        if os.geteuid() == 0:
            pg_ctl[:0] = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(folder, "postgres")
        initdb = "-U postgres -E UTF8 --no-locale --no-sync --auth-local=trust"
        initdb += f" --auth-host=scram-sha-256 --pwfile={folder}/password"
        options = f"-k {folder} -p {port} -c listen_addresses=127.0.0.1 -c fsync=off"
        for action in ([initdb, "init"], [options, "start"]):
            subprocess.run([*pg_ctl, *action], check=True, stdout=subprocess.DEVNULL, timeout=120)
        yield dict(PGHOST=folder, PGPORT=str(port), PGUSER="postgres", PGDATABASE="postgres")
        subprocess.run([*pg_ctl, "", "stop", "-m", "immediate"], check=True, timeout=120)


@pytest.fixture(autouse=True)
def environment(release_file, monkeypatch) -> None:
    """The release of the seed build, and no settings of the caller's Postgres."""
    monkeypatch.setenv("OTT_RELEASE_PATH", str(release_file.parent.parent))
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.fixture
def database(server, environment, monkeypatch) -> Iterator[None]:
    """A database that every connection is to by default, empty at the start of every test."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(copier, "SECONDS_BETWEEN_ATTEMPTS", 0.05)
    yield
    run(END_COPY, "drop schema if exists marts, report cascade")


def run(*statements: str) -> None:
    with psycopg.connect(autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(query: str) -> list[tuple]:
    with psycopg.connect() as connection:
        return connection.execute(query).fetchall()


def tables() -> dict[str, int]:
    """Return the identifiers of the tables by name; a copy gives new ones."""
    return dict(rows(f"select relname, oid::int from pg_class where {IN_MARTS} order by 1"))


@pytest.fixture
def role(database) -> str:
    """A role of its own for a test; roles outlive the schemas."""
    name = f"Role-{uuid4().hex[:8]}"
    run(f'create role "{name}" login')
    return name


def make_file(folder: Path, *statements: str) -> Path:
    """Write a file with tables made by SQL statements in schema marts."""
    path = folder / f"{uuid4().hex}.duckdb"
    with duckdb.connect(path) as connection:
        for statement in ("create schema marts", "use marts", *statements):
            connection.execute(statement)
    return path


@pytest.fixture
def versions(database, tmp_path) -> list[Path]:
    """An old release, which has been copied; a new one; and that with a large table beside it."""
    statement = "create table {} as select {} as version from range(100)"
    first, second = ([statement.format(name, version) for name in "ab"] for version in (1, 2))
    large = "create table large as select range as number, 'text' as text from range(300_000)"
    files = [make_file(tmp_path, *it) for it in (first, second, [*second, large])]
    copy(files[0])
    return files


def copy(file: Path, user: str = "postgres") -> None:
    target = psycopg.connect(user=user, application_name="ott postgres")
    with Release(file) as source, target:
        copier.copy_release(source, target, file.stem, "marts", patience=60)


def start_copy(file: Path) -> subprocess.Popen:
    """Start a copy in a process of its own, which can be killed."""
    code = (
        "import sys; from pathlib import Path; import psycopg; from ott.catalog import Release; "
        "from ott.exports import postgres; postgres.copy_release(Release(Path(sys.argv[1])), "
        "psycopg.connect(application_name='ott postgres'), 'a release', 'marts', 60)"
    )
    return subprocess.Popen([sys.executable, "-c", code, file], cwd=PROJECT / "scripts")


def copy_served() -> None:
    copier.copy("", "marts", None, patience=60)


def ott(*arguments: str, fails: int = 0) -> subprocess.CompletedProcess:
    """Run the command, which must end as told, and say one sentence if it is with 1."""
    result = subprocess.run([*OTT, *arguments], capture_output=True, text=True, timeout=300)
    assert result.returncode == fails, result.stderr
    assert fails == 2 or re.fullmatch(r".+\.\n" * fails, result.stderr), result.stderr
    return result


def wait_until(query: str) -> None:
    """Wait until a query finds a row."""
    deadline = time.monotonic() + 300
    while not rows(query):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@contextmanager
def held_up(file: Path, isolation: str = "read committed") -> Iterator[tuple]:
    """Yield a reader of the old table b, and the future of a copy that waits for this reader."""
    with ThreadPoolExecutor() as pool, psycopg.connect() as reader:
        reader.execute(f"set transaction isolation level {isolation}")
        assert reader.execute(EACH[1]).fetchall() == [(1, 100)]
        copying = pool.submit(copy, file)
        wait_until(WAITING_COPY)
        yield reader, copying


# --- what arrives --------------------------------------------------------------------------------


def test_a_release_arrives_whole_twice_in_a_row(release_file, database, monkeypatch, server):
    release = release_file.parent.resolve().name
    ott()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    second = ott("--dsn", f"postgresql://postgres@127.0.0.1:{server['PGPORT']}/postgres")
    assert re.fullmatch(
        rf"Copied release {release} to schema marts of database postgres: "
        r"\d+ tables, [\d,]+ rows, [\d.]+ seconds\.\n",
        second.stdout,
    )
    with duckdb.connect(release_file, read_only=True) as source:
        described = "select table_name, comment, true as analyzed from duckdb_tables() order by 1"
        comments = source.sql(described).fetchall()
        columns = source.sql(
            "select table_name, column_name, data_type, comment from duckdb_columns() "
            "where schema_name = 'marts' order by table_name, column_index"
        ).fetchall()
        assert len(comments) > 20
        for name, *_ in comments:
            expected = source.sql(f"from marts.{name}").fetchall()
            found = rows(f"select * from marts.{name}")
            # As text: there NaN equals itself, and 1 does not equal 1.0 or true.
            assert sorted(map(repr, found)) == sorted(map(repr, expected)), name
    found = rows(
        "select relname, attname, format_type(atttypid, atttypmod), col_description(oid, attnum) "
        f"from pg_attribute join pg_class on attrelid = oid where {IN_MARTS} and attnum > 0 "
        "order by relname, attnum"
    )
    assert found == [(*name, TYPES.get(kind, kind.lower()), text) for *name, kind, text in columns]
    assert all(comment for *_, comment in found)
    described = "select relname, obj_description(oid), reltuples >= 0 from pg_class"
    assert rows(f"{described} where {IN_MARTS} order by 1") == comments
    ((about,),) = rows("select obj_description('marts'::regnamespace, 'pg_namespace')")
    assert f"Release {release}" in about


HARD_VALUES = {
    "tinyint": [-128, 127],
    "smallint": [-(2**15), 2**15 - 1],
    "integer": [-(2**31), 2**31 - 1],
    "bigint": [-(2**63), 2**63 - 1],
    "double": [*map(float, ("nan", "inf", "-inf")), -0.0, 5e-324, 1.7976931348623157e308, 0.1],
    "decimal(18, 3)": [Decimal("-123456789012345.678"), Decimal("0.000")],
    "boolean": [True, False],
    "date": [dt.date.min, dt.date.max],
    "time": [dt.time.min, dt.time.max],
    "timestamp": [dt.datetime.min, dt.datetime(1969, 12, 31, 23, 59, 59, 1), dt.datetime.max],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1)],
    "blob": [b"", b"\x00\xff\\"],
    "varchar": ["", " ", "\\N", "NULL", "\\.", "a\tb\nc\rd", "'\"\\", "ümläut 日本 🎬", "\u2028"],
}


def test_hard_values_of_every_type_arrive_unchanged(database, tmp_path):
    file = make_file(tmp_path)
    with duckdb.connect(file) as connection:
        for kind, values in HARD_VALUES.items():
            connection.execute(f'create table marts."{kind}" ("the %s; ""column" {kind})')
            insert = f'insert into marts."{kind}" values ($1)'
            connection.executemany(insert, [[value] for value in (None, *values)])
        connection.execute("create table marts.nul as select 'a' || chr(0) || 'b' as raw")
        connection.execute("""comment on table marts.date is 'it''s "50 %s" of \\ ümläut'""")
    copy(file)
    for kind, values in HARD_VALUES.items():
        found = [value for (value,) in rows(f'select * from marts."{kind}"')]
        assert list(map(repr, found)) == list(map(repr, (None, *values))), kind
    assert rows("select raw from marts.nul") == [("a\ufffdb",)]
    comment = 'it\'s "50 %s" of \\ ümläut'
    assert rows("select obj_description('marts.date'::regclass)") == [(comment,)]


def test_a_type_that_postgres_lacks_is_named(database, tmp_path):
    file = make_file(tmp_path, "create table t as select [1, 2] as numbers")
    with pytest.raises(copier.CopyError, match=r"Column numbers of table t has the type INTEGER\["):
        copy(file)


def test_a_copy_killed_at_any_moment_leaves_all_or_nothing(versions):
    old, _, large = versions
    started = time.monotonic()
    assert start_copy(large).wait() == 0
    duration = time.monotonic() - started
    for share in (None, 0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0):
        copy(old)
        copying = start_copy(large)
        if share is None:
            wait_until("select from pg_stat_progress_copy where tuples_processed > 500")
        else:
            time.sleep(share * duration)
        copying.kill()
        copying.wait()
        wait_until(NO_COPY)
        is_old = rows(BOTH) == WHOLE_OLD
        assert is_old or (share and rows(BOTH) == WHOLE_NEW)
        assert [*tables()] == ["a", "b", "large"][: 2 if is_old else 3]
    copy(large)
    assert rows(BOTH) == WHOLE_NEW
    assert rows("select count(*), count(distinct number) from marts.large") == [(300_000,) * 2]


def test_a_copy_that_ends_before_the_swap_leaves_the_old_tables(database):
    """Because a reader does not finish, who is named; it is interrupted; the server goes away."""
    copy_served()
    before = tables()
    with psycopg.connect(application_name="A dashboard") as reader:
        reader.execute("select from marts.dim_users")
        said = ott("--wait", "0", fails=1).stderr
        assert f"A dashboard, process {reader.info.backend_pid} of user postgres" in said
        assert "--wait" in said
        for returncode, said, end in (
            (130, r"\nStopped", lambda: copying.send_signal(signal.SIGINT)),
            (1, "Postgres stopped the copy: .*", lambda: run(END_COPY)),
        ):
            with subprocess.Popen(OTT, stderr=subprocess.PIPE, text=True) as copying:
                wait_until(WAITING_COPY)
                end()
                _, stderr = copying.communicate(timeout=60)
            assert copying.returncode == returncode
            assert re.fullmatch(rf"{said}; nothing is half done\.\n", stderr)
            wait_until(NO_COPY)
    assert tables() == before
    copy_served()
    assert tables().keys() == before.keys()


def test_readers_never_see_an_error_or_a_mix(versions):
    old, new, _ = versions

    def poll(isolation: str, *queries: str) -> set[tuple]:
        """Read in one transaction after another; return what they saw."""
        seen = set()
        with psycopg.connect() as connection:
            while not copying.done():
                with connection.transaction():
                    connection.execute(f"set transaction isolation level {isolation}")
                    found = [row for query in queries for row in connection.execute(query)]
                seen.add(sum(found, ()))
        return seen

    with ThreadPoolExecutor() as pool:
        copying = pool.submit(lambda: [copy(file) for file in (new, old, new, old, new)])
        polls = [
            pool.submit(poll, "read committed", BOTH),
            pool.submit(poll, "read committed", *EACH),
            pool.submit(poll, "repeatable read", *EACH),
            # Another order of the tables: this is where a deadlock could come from.
            pool.submit(poll, "serializable", *EACH[::-1]),
        ]
    copying.result()
    for seen in polls:
        assert seen.result() == {*WHOLE_OLD, *WHOLE_NEW}


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_a_transaction_that_has_read_an_old_table_reads_the_other_old_one(versions, isolation):
    with held_up(versions[1], isolation) as (reader, copying):
        # A deadlock, if the copy kept the lock on a until it had one on b; after the second that is
        # Postgres's deadlock_timeout, it would be the reader who is cancelled.
        time.sleep(1.2)
        assert reader.execute(EACH[0]).fetchall() == [(1, 100)]
        assert copying.running()
    assert rows(BOTH) == WHOLE_NEW


def test_a_snapshot_older_than_the_copy_finds_the_new_tables_full(versions):
    with psycopg.connect() as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1")
        copy(versions[1])
        assert reader.execute(BOTH).fetchall() == WHOLE_NEW


def test_others_are_not_overlooked_during_a_copy(versions):
    """Neither another copy nor new row security."""
    with held_up(versions[1]) as (reader, copying):
        with pytest.raises(copier.CopyError, match="Another copy to schema marts is running"):
            copy(versions[0])
        run("alter table marts.a enable row level security")
        reader.rollback()
        with pytest.raises(copier.CopyError, match=r"Table marts\.a has row security"):
            copying.result()
    assert rows(BOTH) == WHOLE_OLD


def test_who_could_read_the_old_tables_can_read_the_new_ones(versions, role, tmp_path):
    run(
        f'grant usage on schema marts to "{role}"',
        f'grant select on marts.a to "{role}" with grant option',
        f'grant select (version) on marts.b to "{role}"',
        "grant select on marts.a to public",
    )
    access_lists = (
        "select relname, attname, relacl::text, attacl::text from pg_class "
        f"join pg_attribute on attrelid = oid where {IN_MARTS} and attnum > 0 order by 1, 2"
    )
    before = rows(access_lists)
    copy(versions[1])
    assert rows(access_lists) == before
    with psycopg.connect(user=role) as reader:
        assert reader.execute("select max(version) from marts.b").fetchone() == (2,)

    # Grants on what is gone are, too; default privileges open new tables and no closed ones.
    run(f'alter default privileges in schema marts grant select on tables to "{role}"')
    b = "create table b as select 'three' as n, true as added"
    copy(make_file(tmp_path, b, "create table c as select 3 as n"))
    assert [*tables()] == ["b", "c"]
    assert rows("select * from marts.b") == [("three", True)]
    with psycopg.connect(user=role) as reader:
        assert reader.execute("select n from marts.c").fetchone() == (3,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select n from marts.b")


def test_tables_that_no_copy_made_stay(versions, tmp_path):
    run(*(f"create table marts.{name} as select 'mine' as note" for name in ("c", "notes")))
    before = tables()
    with pytest.raises(copier.CopyError, match="has a table c that is not from an earlier copy"):
        copy(make_file(tmp_path, "create table c as select 3 as n"))
    assert tables() == before
    copy(versions[1])
    assert rows("select note from marts.notes") == [("mine",)]


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("view", "view report.it as table marts.dim_users"),
        ("view", "materialized view report.it as table marts.dim_users"),
        ("function", "function report.it() returns int return (select 1 from marts.dim_users)"),
    ],
)
def test_what_hangs_on_a_table_is_named_and_not_dropped(database, kind, statement):
    copy_served()
    run("create schema report", f"create {statement}")
    before = tables()
    said = rf"{kind} report\.it(\(\))? depends on table marts\.dim_users; drop"
    with pytest.raises(copier.CopyError, match=said) as error:
        copy_served()
    # Of views the copy knows before Postgres says so.
    assert (error.value.__cause__ is None) == (kind == "view")
    # A table that is still there has kept what hangs on it.
    assert tables() == before


# --- what can be wrong ---------------------------------------------------------------------------


def test_a_release_that_is_not_as_published_is_refused(folder, database, tmp_path, monkeypatch):
    monkeypatch.setenv("OTT_RELEASE_PATH", str(tmp_path / "no release yet"))
    ott(fails=1)
    monkeypatch.setenv("OTT_RELEASE_PATH", str(folder))
    file = folder / "current" / "ott_compliance.duckdb"
    file.chmod(0o644)
    with duckdb.connect(file) as connection:
        connection.execute("update marts.compliance_by_region set violation_events = 0")
    ott("--release", file.parent.resolve().name, fails=1)
    assert rows("select from pg_namespace where nspname = 'marts'") == []


# Connection strings that do not work, by what several have in common.
BROKEN = {
    "postgresql://u:{}@127.0.0.1:1/db": (
        *("top+secret", "top:secret", "top@secret", "top/secret", "top?secret", "top%secret"),
        *("top%40secret", "[top]secret", "topsecret%00"),
    ),
    "postgresql://u:topsecret{}": (
        *("@127.0.0.1:port/db", "@127.0.0.1:1:1/db", "@127.0.0.1:99999/db", "@[127.0.0.1:1/db"),
        *("@127.0.0.1:1/db?sslmode=topsecret", "@127.0.0.1:1/db?nonsense=1"),
        *("@nowhere.invalid/db", "/db", ""),
    ),
    "host=127.0.0.1 port=1 {}": (
        *("password=topsecret", "password=top secret", "password='topsecret"),
        *("password='top'secret'", "passwrod=topsecret", "password=tops\udce4secret"),
        *("password=topsecret connect_timeout=soon", "password=topsecret sslmode=topsecret"),
        *("user='u password=topsecret'", "hostaddr=topsecret"),
    ),
    "{}": (
        *(
            "postgresql://u:top@secret:127.0.0.1:1/db",
            "host=postgresql://u:topsecret@127.0.0.1:1/db",
        ),
        *("host=127.0.0.1 port=topsecret", "host=a..b password=topsecret"),
        *("u:topsecret@127.0.0.1:1/db", "postgres//u:topsecret@127.0.0.1:1/db"),
        "postgresql://u@127.0.0.1:1/db?password=top&secret",
        "postgresql://127.0.0.1:1/db?user=u:topsecret",
        " postgresql://u:topsecret@127.0.0.1:1/db?sslmode=require",
        "jdbc:postgresql://127.0.0.1:1/db?user=u&password=topsecret",
        "dbname=postgresql://u:topsecret@127.0.0.1:1/db host=127.0.0.1 port=1",
    ),
}


@pytest.mark.parametrize("dsn", [form.format(it) for form in BROKEN for it in BROKEN[form]])
def test_no_error_shows_a_password_or_a_piece_of_it(dsn):
    with pytest.raises(copier.CopyError) as error:
        copier._connect(dsn)
    assert not re.search("top|secret", str(error.value))


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://postgres@127.0.0.1:1/postgres", "cannot be reached: .*Connection refused"),
        ("postgresql://postgres@127.0.0.1:{PGPORT}/postgres", "password authentication failed"),
        # The server repeats names: of a user, of a database, and of one that is there.
        ("postgresql://topsecret:topsecret@127.0.0.1:{PGPORT}/postgres", r"failed.*\*\*\*"),
        ("host={PGHOST} port={PGPORT} user=postgres dbname=u:topsecret@nowhere/db", "is not shown"),
        ("host={PGHOST} port={PGPORT} user=u:topsecret dbname=postgres", "is not shown"),
        ("host={PGHOST} port={PGPORT} user=postgres dbname='db password=topsecret'", "not shown"),
    ],
)
def test_why_there_is_no_connection_is_said_without_a_password(server, monkeypatch, dsn, said):
    monkeypatch.setenv("PGPASSWORD", "topsecret")
    with pytest.raises(copier.CopyError, match=said) as error:
        copier._connect(dsn.format(**server))
    assert "topsecret" not in str(error.value)


def test_unknown_arguments_are_not_shown():
    said = ott("postgresql://u:topsecret", "--dns", "x", "--password=topsecret", fails=2).stderr
    assert "unknown arguments" in said and "topsecret" not in said


def test_a_user_who_owns_the_schema_needs_no_more_rights(versions, role):
    """Nor do limits that the server sets for statements stop a copy."""
    with pytest.raises(copier.CopyError, match=r"permission denied for database.*CREATE"):
        copier.copy(f"user={role}", "other", None, patience=60)
    run(
        "drop schema marts cascade",
        f'create schema marts authorization "{role}"',
        *(
            f"alter role \"{role}\" set {name}_timeout = '50ms'"
            for name in ("statement", "lock", "idle_in_transaction_session")
        ),
    )
    for file in (versions[0], versions[2]):
        copy(file, role)
    assert rows(BOTH) == WHOLE_NEW
