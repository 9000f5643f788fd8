"""Copy a release into a Postgres schema, for tools that speak Postgres but not DuckDB.

The release is verified first. Everything then happens in one transaction: either the schema holds
the whole new release, or nothing has changed, also when the copy is killed. Readers see the old
tables until the moment at which they see the new ones; no transaction sees both.
`ott postgres --help` says what is kept and what is refused.
"""

import re
import time
from collections.abc import Iterable, Sequence

import duckdb
import psycopg
from psycopg import sql
from psycopg.pq import Conninfo
from tqdm import tqdm

from ott import OttError, copies, releases
from ott.catalog import SCHEMA, Release, Table

NEXT = "__next"
BATCH_ROWS = 10_000

# Readers that come while the swap waits for others queue behind it. Half of Postgres's usual
# deadlock_timeout keeps that short, and spares a reader who holds one table and wants another from
# being cancelled as part of a deadlock.
LOCK_ATTEMPT = "500ms"
SECONDS_BETWEEN_ATTEMPTS = 2.0

SAME_TYPES = ("BIGINT", "BOOLEAN", "DATE", "INTEGER", "SMALLINT", "TIME", "TIMESTAMP", "UUID")
POSTGRES_TYPES = {name: name.lower() for name in SAME_TYPES}
POSTGRES_TYPES |= dict(
    BLOB="bytea", DOUBLE="float8", FLOAT="float4", TINYINT="int2", VARCHAR="text"
)

# The comment on the schema is the memory of what a copy wrote, and may therefore drop.
SCHEMA_COMMENT = (
    "Release {release}, copied by ott postgres. The next copy replaces these tables: {tables}"
)
REPLACED_TABLES = re.compile(r"The next copy replaces these tables: (.*)")
WOULD_BREAK = (
    "Replacing the tables would break what hangs on them: {}; "
    "drop that first, and create it again after the copy."
)

# What the parts of a connection string look like when none of them holds a piece of a password that
# ought to have been quoted or encoded. Errors of Postgres quote these parts.
PLAIN_PART = {b"user": r"[^@:=\s]*", b"port": r"[\d,]*", b"hostaddr": r"[\da-f.:,]*"}
OTHER_PLAIN_PART = r"[^@=\s]*"


class CopyError(OttError):
    """Why a release was not copied, in a sentence for the user."""


def postgres_types(table: Table) -> list[str]:
    """Return types that hold the same values in Postgres; raises CopyError if one has none."""
    found = []
    for column in table.columns:
        decimal = re.fullmatch(r"DECIMAL(\(\d+,\d+\))", column.type)
        if not decimal and column.type not in POSTGRES_TYPES:
            raise CopyError(
                f"Column {column.name} of table {table.name} has the type {column.type}, "
                "for which ott postgres knows no type of Postgres."
            )
        found.append(f"numeric{decimal[1]}" if decimal else POSTGRES_TYPES[column.type])
    return found


def copy_release(
    source: Release, target: psycopg.Connection, release: str, schema: str, patience: float
) -> int:
    """Replace the tables of a Postgres schema by those of an open release; return how many rows.

    `release` is a name for the schema's comment; `patience` is in seconds. Raises OttError,
    psycopg.Error or duckdb.Error; the schema is then as it was.
    """
    tables = [*source.tables.values()]
    for table in tables:
        postgres_types(table)  # or the copy ends here
    rows = sum(source.size(table.name) for table in tables)
    target.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    with target.transaction():
        for timeout in ("statement", "lock", "idle_in_transaction_session"):
            target.execute(f"set local {timeout}_timeout = 0")
        lock = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
        if not target.execute(lock, [f"ott postgres {schema}"]).fetchone()[0]:
            raise CopyError(f"Another copy to schema {schema} is running; wait until it is done.")
        old = _take_over_schema(target, schema, release, [table.name for table in tables])
        _refuse_to_break(target, old)
        with tqdm(total=rows, unit=" rows", unit_scale=True, disable=None) as progress:
            for table in tables:
                progress.set_description(table.name)
                _copy_table(source, target, table, (schema, table.name + NEXT), progress)
            progress.set_description("replacing the old tables")
            if old:
                _lock(target, schema, old, patience)
            _refuse_to_break(target, old)
            _swap(target, schema, tables, old)
    return rows


def _run(target: psycopg.Connection, statement: str, *parts: object) -> None:
    """Run a statement, {} in it being a name given as a tuple, other SQL, or a value."""
    parts = [sql.Identifier(*part) if isinstance(part, tuple) else part for part in parts]
    target.execute(sql.SQL(statement).format(*parts))


def _take_over_schema(
    target: psycopg.Connection, schema: str, release: str, names: Sequence[str]
) -> dict[str, int]:
    """Make the schema, or check that it may be written; return old tables with their oids."""
    found = target.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", [schema]
    ).fetchone()
    if not found:
        _run(target, "create schema {}", (schema,))
    relations = target.execute(
        "select relname, oid from pg_class "
        "where relnamespace = (select oid from pg_namespace where nspname = %s) order by 1",
        [schema],
    ).fetchall()
    recorded = REPLACED_TABLES.search((found and found[0]) or "")
    ours = recorded[1].split(", ") if recorded else []
    for name, _ in relations:
        if name in names and name not in ours:
            raise CopyError(
                f"Schema {schema} has a table {name} that is not from an earlier copy; "
                "choose another schema with --schema, or drop that table."
            )
    comment = SCHEMA_COMMENT.format(release=release, tables=", ".join(names))
    _run(target, "comment on schema {} is {}", (schema,), comment)
    return {name: oid for name, oid in relations if name in ours}


def _refuse_to_break(target: psycopg.Connection, old: dict[str, int]) -> None:
    """Raise CopyError if somebody has built on the old tables: at once, and again when locked."""
    oids = [*old.values()]
    view = target.execute(
        """
        select format('view %%s depends on table %%s', views.oid::regclass, refobjid::regclass)
        from pg_depend join pg_rewrite as rules
            on classid = 'pg_rewrite'::regclass and objid = rules.oid
        join pg_class as views on rules.ev_class = views.oid
        where refclassid = 'pg_class'::regclass and refobjid = any(%(old)s)
            and views.oid <> all(%(old)s) order by 1
        """,
        {"old": oids},
    ).fetchone()
    if view:
        raise CopyError(WOULD_BREAK.format(view[0]))
    secured = target.execute(
        "select oid::regclass::text from pg_class where oid = any(%s) and relrowsecurity", [oids]
    ).fetchone()
    if secured:
        raise CopyError(
            f"Table {secured[0]} has row security, which the new table would not have; "
            "disable it, or choose another schema with --schema."
        )


def _copy_table(
    source: Release, target: psycopg.Connection, table: Table, new: tuple, progress: tqdm
) -> None:
    types = postgres_types(table)
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(kind))
        for column, kind in zip(table.columns, types, strict=True)
    ]
    _run(target, "create table {} ({})", new, sql.SQL(", ").join(columns))
    names = ((copies.name(column.name), column.type) for column in table.columns)
    values = (f"replace({n}, chr(0), chr(65533))" if k == "VARCHAR" else n for n, k in names)
    result = source.connection.execute(
        f"select {', '.join(values)} from {SCHEMA}.{copies.name(table.name)}"
    )
    # Frozen rows are seen by transactions that began before the copy, too. Without it, a reader
    # with an old snapshot would find the new tables empty.
    statement = sql.SQL("copy {} from stdin (format binary, freeze)").format(sql.Identifier(*new))
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([kind.partition("(")[0] for kind in types])
        while rows := result.fetchmany(BATCH_ROWS):
            for row in rows:
                copy.write_row(row)
            progress.update(len(rows))
    _run(target, "comment on table {} is {}", new, table.comment)
    for column in table.columns:
        _run(target, "comment on column {} is {}", (*new, column.name), column.comment)
    _run(target, "analyze {}", new)


def _swap(
    target: psycopg.Connection, schema: str, tables: Sequence[Table], old: dict[str, int]
) -> None:
    """Put the new tables in the place of the old ones, with the grants that these have."""
    grants = _grants(target, schema, old)
    if old:
        names = sql.SQL(", ").join(sql.Identifier(schema, name) for name in old)
        _run(target, "drop table {}", names)
    for table in tables:
        _run(target, "alter table {} rename to {}", (schema, table.name + NEXT), (table.name,))
    # Those that the default privileges gave.
    for *_, revoke in _grants(target, schema, old):
        target.execute(revoke)
    there = {(table.name, column.name) for table in tables for column in table.columns}
    there |= {(table.name, None) for table in tables}
    for table, column, grant, _ in grants:
        if (table, column) in there:
            target.execute(grant)


def _lock(target: psycopg.Connection, schema: str, old: dict[str, int], patience: float) -> None:
    """Wait until no transaction has read the old tables, so that none can read both."""
    names = sql.SQL(", ").join(sql.Identifier(schema, name) for name in old)
    deadline = time.monotonic() + patience
    while True:
        try:
            with target.transaction():
                target.execute(f"set local statement_timeout = '{LOCK_ATTEMPT}'")
                _run(target, "lock table {} in access exclusive mode", names)
                target.execute("set local statement_timeout = 0")
            return
        except (psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected):
            if time.monotonic() > deadline:
                readers = target.execute(
                    "select string_agg(distinct format('%%s, process %%s of user %%s', "
                    "application_name, pid, usename), '; ') from pg_locks join pg_stat_activity "
                    "using (pid) where relation = any(%s) and granted and pid <> pg_backend_pid()",
                    [[*old.values()]],
                ).fetchone()[0]
                raise CopyError(
                    f"The old tables were in use for {patience:g} seconds ("
                    f"{readers or 'by readers who have just left'}), so they are still there; "
                    "end those transactions, or give --wait more seconds."
                ) from None
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)


def _grants(target: psycopg.Connection, schema: str, tables: Iterable[str]) -> list[tuple]:
    """Return table, column or None, and statements that grant and revoke what others may do."""
    return target.execute(
        """
        with access_lists as (
            select oid as relation, null as attname, relacl as acl from pg_class
            union all
            select attrelid, attname, attacl from pg_attribute where not attisdropped
        )
        select
            relname, attname,
            format(
                'grant %%s%%s on %%s to %%s%%s', privilege_type,
                ' (' || quote_ident(attname) || ')', relation::regclass, role,
                case when is_grantable then ' with grant option' end
            ),
            format('revoke all on %%s from %%s', relation::regclass, role)
        from access_lists join pg_class on relation = pg_class.oid
        join pg_namespace on relnamespace = pg_namespace.oid cross join aclexplode(acl)
        cross join coalesce(nullif(grantee, 0)::regrole::text, 'public') as role
        where nspname = %s and relname = any(%s)
            and grantee <> (select oid from pg_roles where rolname = current_user)
        """,
        [schema, [*tables]],
    ).fetchall()


def _connect(dsn: str) -> psycopg.Connection:
    try:
        return psycopg.connect(
            dsn, client_encoding="utf8", fallback_application_name="ott postgres"
        )
    # Names of hosts that cannot be are errors of Unicode.
    except (psycopg.Error, UnicodeError) as error:
        reason = _first_line(error).removeprefix("connection failed: ")
        for password in _passwords(dsn):
            reason = reason.replace(password, "***")
        raise CopyError(
            f"Postgres cannot be reached: {reason}; "
            "check --dsn or the environment variables PGHOST, PGPORT, PGDATABASE, PGUSER "
            "and PGPASSWORD."
        ) from None


def _passwords(dsn: str) -> list[str]:
    """Return the passwords in a connection string; raises CopyError if these may not be all."""
    try:
        parts = [part for part in Conninfo.parse(dsn.encode()) if part.val]
    except (psycopg.Error, UnicodeError):
        parts = None
    if parts is None or not all(
        part.dispchar == b"*"
        or re.fullmatch(PLAIN_PART.get(part.keyword, OTHER_PLAIN_PART), part.val.decode())
        for part in parts
    ):
        raise CopyError(
            "The connection string in --dsn does not work, and the reason is not shown, as it may "
            "hold a part of a password: write characters like @ : / in a URI as %40 %3A %2F, and "
            "values with blanks in quotes; or leave the password to PGPASSWORD or ~/.pgpass."
        ) from None
    return [part.val.decode() for part in parts if part.dispchar == b"*"]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def copy(dsn: str, schema: str, name: str | None, patience: float) -> str:
    """Copy a release, by default the one served, and say so; `patience` is in seconds."""
    started = time.monotonic()
    try:
        # Looked up once: another release may become the one that is served during the copy.
        release = releases.find_release(releases.release_folder(), name)
        releases.verify(release)
        with Release(release) as source, _connect(dsn) as target:
            rows = copy_release(source, target, release.name, schema, patience)
            return (
                f"Copied release {release.name} to schema {schema} of database "
                f"{target.info.dbname}: {len(source.tables)} tables, {rows:,} rows, "
                f"{time.monotonic() - started:.1f} seconds."
            )
    except psycopg.errors.DependentObjectsStillExist as error:
        dependencies = (error.diag.message_detail or "").replace("\n", "; ")
        raise CopyError(WOULD_BREAK.format(dependencies)) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise CopyError(
            f"Postgres refuses: {error.diag.message_primary}; the user must own the schema and "
            "its tables, or have CREATE on the database for a schema that is not there yet."
        ) from error
    except psycopg.Error as error:
        # Not "nothing has changed": a connection can be lost while it says that it is done.
        raise CopyError(
            f"Postgres stopped the copy: {_first_line(error)}; nothing is half done."
        ) from error
    except duckdb.Error as error:
        raise CopyError(f"The release cannot be read: {_first_line(error)}.") from error
