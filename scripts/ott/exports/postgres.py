"""Copy a release into a Postgres schema, for tools that speak Postgres but not DuckDB.

The release is verified first. Everything then happens in one transaction: either the schema holds
the whole new release, or nothing has changed, also when the copy is killed. Readers see the old
tables until the moment at which they see the new ones; no transaction sees both.
`ott postgres --help` says what is kept and what is refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import psycopg
from psycopg import sql
from psycopg.pq import Conninfo
from tqdm import tqdm

from ott import OttError, releases
from ott.catalog import SCHEMA, Column, Release, Table

NEXT = "__next"
BATCH_ROWS = 10_000

# Readers that come while the swap waits for others queue behind it. Half of Postgres's usual
# deadlock_timeout keeps that short, and spares a reader who holds one table and wants another from
# being cancelled as part of a deadlock.
LOCK_ATTEMPT = "500ms"
SECONDS_BETWEEN_ATTEMPTS = 2.0

POSTGRES_TYPES = {
    "BIGINT": "int8",
    "BLOB": "bytea",
    "BOOLEAN": "bool",
    "DATE": "date",
    "DOUBLE": "float8",
    "FLOAT": "float4",
    "INTEGER": "int4",
    "SMALLINT": "int2",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TINYINT": "int2",
    "UUID": "uuid",
    "VARCHAR": "text",
}

# The comment on the schema is the memory of what a copy wrote, and may therefore drop.
SCHEMA_COMMENT = (
    "Release {release}, copied by ott postgres. The next copy replaces these tables: {tables}"
)
REPLACED_TABLES = re.compile(r"The next copy replaces these tables: (.*)")

# What the parts of a connection string look like when none of them holds a piece of a password that
# ought to have been quoted or encoded. Errors of Postgres quote these parts.
PLAIN_PART = {"user": r"[^@:=\s]*", "port": r"[\d,]*", "hostaddr": r"[\da-f.:,]*"}
PLAIN_PART_OF_ANY_OTHER_NAME = r"[^@=\s]*"


class CopyError(OttError):
    """Why a release was not copied, in a sentence for the user."""


@dataclass(frozen=True)
class Grant:
    """A privilege on a table, or on one column; `grantee` is SQL: a quoted role, or public."""

    table: str
    column: str | None
    grantee: str
    privilege: str
    grantable: bool


# --- the release ---------------------------------------------------------------------------------


def postgres_type(table: Table, column: Column) -> str:
    """Return the type that holds the same values in Postgres; raises CopyError if there is none."""
    decimal = re.fullmatch(r"DECIMAL(\(\d+,\d+\))", column.type)
    found = f"numeric{decimal[1]}" if decimal else POSTGRES_TYPES.get(column.type)
    if found is None:
        raise CopyError(
            f"Column {column.name} of table {table.name} has the type {column.type}, "
            "for which ott postgres knows no type of Postgres."
        )
    return found


def _batches(source: Release, table: Table) -> Iterator[list[tuple]]:
    names = ((releases.name(column.name), column.type) for column in table.columns)
    expressions = (f"replace({n}, chr(0), chr(65533))" if k == "VARCHAR" else n for n, k in names)
    result = source.connection.execute(
        f"select {', '.join(expressions)} from {SCHEMA}.{releases.name(table.name)}"
    )
    while rows := result.fetchmany(BATCH_ROWS):
        yield rows


# --- the copy ------------------------------------------------------------------------------------


def copy_release(
    source: Release, target: psycopg.Connection, release: str, schema: str, patience: float
) -> int:
    """Replace the tables of a Postgres schema by those of an open release, in one transaction.

    `release` is a name for the schema's comment; `patience` is how many seconds to wait for
    readers of the old tables to finish. Returns the number of rows copied.

    Raises OttError, psycopg.Error or duckdb.Error; the schema is then as it was.
    """
    tables = [*source.tables.values()]
    types = {table: [postgres_type(table, column) for column in table.columns] for table in tables}
    rows = sum(source.size(table.name) for table in tables)
    target.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    with target.transaction():
        for timeout in ("statement", "lock", "idle_in_transaction_session"):
            target.execute(f"set local {timeout}_timeout = 0")
        _keep_other_copies_out(target, schema)
        old = _take_over_schema(target, schema, release, [table.name for table in tables])
        _refuse_to_break(target, old)
        with tqdm(total=rows, unit=" rows", unit_scale=True, disable=None) as progress:
            for table in tables:
                progress.set_description(table.name)
                _copy_table(source, target, schema, table, types[table], progress)
            progress.set_description("replacing the old tables")
            _swap(target, schema, tables, old, patience)
    return rows


def _keep_other_copies_out(target: psycopg.Connection, schema: str) -> None:
    lock = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    if not target.execute(lock, [f"ott postgres {schema}"]).fetchone()[0]:
        raise CopyError(f"Another copy to schema {schema} is running; wait until it is done.")


def _take_over_schema(
    target: psycopg.Connection, schema: str, release: str, names: Sequence[str]
) -> dict[str, int]:
    """Make the schema, or check that it may be written; return old tables with their oids."""
    found = target.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s", [schema]
    ).fetchone()
    if not found:
        target.execute(sql.SQL("create schema {}").format(sql.Identifier(schema)))
    relations = dict(
        target.execute(
            "select relname, oid from pg_class where relnamespace = %s::regnamespace order by 1",
            [sql.Identifier(schema).as_string(target)],
        ).fetchall()
    )
    recorded = REPLACED_TABLES.search((found and found[0]) or "")
    ours = set(recorded[1].split(", ")) if recorded else set()
    for name in names:
        if name in relations and name not in ours:
            raise CopyError(
                f"Schema {schema} has a table {name} that is not from an earlier copy; "
                "choose another schema with --schema, or drop that table."
            )
    comment = SCHEMA_COMMENT.format(release=release, tables=", ".join(names))
    target.execute(
        sql.SQL("comment on schema {} is {}").format(sql.Identifier(schema), sql.Literal(comment))
    )
    return {name: oid for name, oid in relations.items() if name in ours}


def _refuse_to_break(target: psycopg.Connection, old: dict[str, int]) -> None:
    """Raise CopyError if somebody has built on the old tables: at once, and again when locked."""
    oids = list(old.values())
    view = target.execute(
        """
        select views.oid::regclass::text, depend.refobjid::regclass::text
        from pg_depend as depend
        join pg_rewrite as rules
            on depend.classid = 'pg_rewrite'::regclass and depend.objid = rules.oid
        join pg_class as views on rules.ev_class = views.oid
        where depend.refclassid = 'pg_class'::regclass
            and depend.refobjid = any(%(oids)s) and views.oid <> all(%(oids)s)
        order by 1
        """,
        {"oids": oids},
    ).fetchone()
    if view:
        raise CopyError(_would_break(f"view {view[0]} depends on table {view[1]}"))
    secured = target.execute(
        "select oid::regclass::text from pg_class where oid = any(%s) and relrowsecurity", [oids]
    ).fetchone()
    if secured:
        raise CopyError(
            f"Table {secured[0]} has row security, which the new table would not have; "
            "disable it, or choose another schema with --schema."
        )


def _would_break(dependency: str) -> str:
    return (
        f"Replacing the tables would break what hangs on them: {dependency}; "
        "drop that first, and create it again after the copy."
    )


def _copy_table(
    source: Release,
    target: psycopg.Connection,
    schema: str,
    table: Table,
    types: Sequence[str],
    progress: tqdm,
) -> None:
    name = sql.Identifier(schema, table.name + NEXT)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(kind))
        for column, kind in zip(table.columns, types, strict=True)
    )
    target.execute(sql.SQL("create table {} ({})").format(name, columns))
    # Frozen rows are seen by transactions that began before the copy, too. Without it, a reader
    # with an old snapshot would find the new tables empty.
    statement = sql.SQL("copy {} from stdin (format binary, freeze)").format(name)
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([kind.partition("(")[0] for kind in types])
        for rows in _batches(source, table):
            for row in rows:
                copy.write_row(row)
            progress.update(len(rows))
    target.execute(sql.SQL("comment on table {} is {}").format(name, sql.Literal(table.comment)))
    for column in table.columns:
        target.execute(
            sql.SQL("comment on column {} is {}").format(
                sql.Identifier(schema, table.name + NEXT, column.name), sql.Literal(column.comment)
            )
        )
    target.execute(sql.SQL("analyze {}").format(name))


# --- the swap ------------------------------------------------------------------------------------


def _swap(
    target: psycopg.Connection,
    schema: str,
    tables: Sequence[Table],
    old: dict[str, int],
    patience: float,
) -> None:
    grants: list[Grant] = []
    if old:
        old_names = sql.SQL(", ").join(sql.Identifier(schema, name) for name in old)
        _lock(target, old_names, list(old.values()), patience)
        _refuse_to_break(target, old)
        grants = _grants(target, list(old.values()))
        target.execute(sql.SQL("drop table {}").format(old_names))
    for table in tables:
        target.execute(
            sql.SQL("alter table {} rename to {}").format(
                sql.Identifier(schema, table.name + NEXT), sql.Identifier(table.name)
            )
        )
    _give_grants(target, schema, [table for table in tables if table.name in old], grants)


def _lock(
    target: psycopg.Connection, names: sql.Composed, oids: list[int], patience: float
) -> None:
    """Wait until no transaction has read the old tables, so that none can read both."""
    deadline = time.monotonic() + patience
    while True:
        try:
            with target.transaction():
                target.execute(f"set local statement_timeout = '{LOCK_ATTEMPT}'")
                target.execute(sql.SQL("lock table {} in access exclusive mode").format(names))
                target.execute("set local statement_timeout = 0")
            return
        except (psycopg.errors.QueryCanceled, psycopg.errors.DeadlockDetected):
            if time.monotonic() > deadline:
                raise CopyError(
                    f"The old tables were in use for {patience:g} seconds ("
                    f"{_readers(target, oids)}), so they are still there; "
                    "end those transactions, or give --wait more seconds."
                ) from None
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)


def _readers(target: psycopg.Connection, oids: list[int]) -> str:
    readers = target.execute(
        """
        select distinct format('%%s, process %%s of user %%s', application_name, pid, usename)
        from pg_locks join pg_stat_activity using (pid)
        where relation = any(%s) and granted and pid <> pg_backend_pid()
        """,
        [oids],
    ).fetchall()
    return "; ".join(reader for (reader,) in readers) or "by readers who have just left"


def _grants(target: psycopg.Connection, oids: list[int]) -> list[Grant]:
    """Read what others than the present user may do with tables."""
    rows = target.execute(
        """
        with access_lists as (
            select relname, null as attname, relacl as acl
            from pg_class where oid = any(%(oids)s)
            union all
            select relname, attname, attacl
            from pg_class join pg_attribute on attrelid = pg_class.oid
            where pg_class.oid = any(%(oids)s) and not attisdropped
        )
        select
            relname,
            attname,
            case when grantee = 0 then 'public' else grantee::regrole::text end,
            privilege_type,
            is_grantable
        from access_lists cross join aclexplode(acl)
        where grantee <> (select oid from pg_roles where rolname = current_user)
        """,
        {"oids": oids},
    ).fetchall()
    return [Grant(*row) for row in rows]


def _give_grants(
    target: psycopg.Connection, schema: str, tables: Sequence[Table], grants: Sequence[Grant]
) -> None:
    """Let the new tables have these grants, and not those that the default privileges gave."""
    columns = {table.name: {column.name for column in table.columns} for table in tables}
    oids = [
        target.execute(
            "select %s::regclass::oid", [sql.Identifier(schema, name).as_string(target)]
        ).fetchone()[0]
        for name in columns
    ]
    for grant in _grants(target, oids):
        target.execute(
            sql.SQL("revoke all on {} from {}").format(
                sql.Identifier(schema, grant.table), sql.SQL(grant.grantee)
            )
        )
    for grant in grants:
        if grant.table not in columns:
            continue
        if grant.column is not None and grant.column not in columns[grant.table]:
            continue
        columns_named = sql.SQL("({})").format(sql.Identifier(grant.column or ""))
        target.execute(
            sql.SQL("grant {} {} on {} to {} {}").format(
                sql.SQL(grant.privilege),
                columns_named if grant.column else sql.SQL(""),
                sql.Identifier(schema, grant.table),
                sql.SQL(grant.grantee),
                sql.SQL("with grant option" if grant.grantable else ""),
            )
        )


# --- the connection ------------------------------------------------------------------------------


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
    """Return the passwords in a connection string that did not work.

    Raises CopyError when there is doubt whether they are all.
    """
    try:
        parts = [part for part in Conninfo.parse(dsn.encode()) if part.val]
    except (psycopg.Error, UnicodeError):
        parts = None
    if parts is None or not all(
        part.dispchar == b"*"
        or re.fullmatch(
            PLAIN_PART.get(part.keyword.decode(), PLAIN_PART_OF_ANY_OTHER_NAME), part.val.decode()
        )
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


def _reason(error: psycopg.Error) -> str:
    match error:
        case psycopg.errors.DependentObjectsStillExist():
            return _would_break((error.diag.message_detail or "").replace("\n", "; "))
        case psycopg.errors.InsufficientPrivilege():
            return (
                f"Postgres refuses: {error.diag.message_primary}; the user must own the schema and "
                "its tables, or have CREATE on the database for a schema that is not there yet."
            )
        case _:
            # Not "nothing has changed": a connection can be lost while it says that it is done.
            return f"Postgres stopped the copy: {_first_line(error)}; nothing is half done."


def copy(dsn: str, schema: str, name: str | None, patience: float) -> str:
    """Copy a release, by default the one that is served, and return a sentence about the copy.

    `dsn` is a connection string or URI, `patience` is in seconds. Raises OttError when the release
    is not as it should be, or Postgres cannot be reached or refuses.
    """
    started = time.monotonic()
    try:
        # Looked up once: another release may become the one that is served during the copy.
        release = releases.find_release(releases.release_folder(), name)
        releases.verify(release)
        with Release(release) as source, _connect(dsn) as target:
            rows = copy_release(source, target, release.name, schema, patience)
            done = f"{len(source.tables)} tables, {rows:,} rows"
            database = target.info.dbname
    except psycopg.Error as error:
        raise CopyError(_reason(error)) from error
    except duckdb.Error as error:
        raise CopyError(f"The release cannot be read: {_first_line(error)}.") from error
    return (
        f"Copied release {release.name} to schema {schema} of database {database}: "
        f"{done}, {time.monotonic() - started:.1f} seconds."
    )
