"""Copy a release into a Postgres schema, for tools that speak Postgres but not DuckDB.

The release is verified first. Everything then happens in one transaction: either the schema holds
the whole new release, or nothing has changed, also when the copy is killed. Readers see the old
tables until the moment at which they see the new ones; no transaction sees both.
Run `python scripts/copy_to_postgres.py --help` for what is kept and what is refused.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import psycopg
from psycopg import sql
from psycopg.pq import Conninfo
from tqdm import tqdm

from ott import releases

SOURCE_SCHEMA = "marts"
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
    "Release {release}, copied by scripts/copy_to_postgres.py. "
    "The next copy replaces these tables: {tables}"
)
REPLACED_TABLES = re.compile(r"scripts/copy_to_postgres\.py\. The next copy replaces .*?: (.*)")

# What the parts of a connection string look like when none of them holds a piece of a password that
# ought to have been quoted or encoded. Errors of Postgres quote these parts.
PLAIN_PART = {"user": r"[^@:=\s]*", "port": r"[\d,]*", "hostaddr": r"[\da-f.:,]*"}
PLAIN_PART_OF_ANY_OTHER_NAME = r"[^@=\s]*"

HELP_EPILOG = """\
where to:
  Without --dsn the environment variables of every Postgres client decide: PGHOST, PGPORT,
  PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE and so on, and ~/.pgpass. A password in --dsn can be
  seen by other users of this machine; better leave it to one of those.

what is kept:
  Types, null, NaN, infinities, and the comments on tables and columns. Grants on the old tables
  and their columns are those of the new tables; a table that the schema did not have starts with
  the default privileges there. Other tables in the schema stay as they are.

what is not:
  Postgres text cannot hold the character NUL; it arrives as U+FFFD. There are no keys, and indexes
  and triggers made on the old tables are gone. The copy refuses to go on where replacing the old
  tables would break a view that reads them, or lose row security.

rights:
  The user must own the schema and its tables, or, for a schema that is not there yet, have the
  right CREATE on the database.

examples:
  python scripts/copy_to_postgres.py --dsn postgresql://loader@db.example.com/analytics
  PGSERVICE=analytics python scripts/copy_to_postgres.py --schema compliance
"""


class CopyError(Exception):
    """Why a release was not copied, in a sentence for the user."""


@dataclass(frozen=True)
class Column:
    """A column of the release; `type` is the one of DuckDB."""

    name: str
    type: str
    comment: str | None

    @property
    def postgres_type(self) -> str | None:
        """The type that holds the same values in Postgres; None if there is none."""
        decimal = re.fullmatch(r"DECIMAL(\(\d+,\d+\))", self.type)
        return f"numeric{decimal[1]}" if decimal else POSTGRES_TYPES.get(self.type)

    @property
    def expression(self) -> str:
        """SQL for DuckDB that reads the column as Postgres can store it."""
        name = releases.name(self.name)
        return f"replace({name}, chr(0), chr(65533))" if self.type == "VARCHAR" else name


@dataclass(frozen=True)
class Table:
    """A table of the release."""

    name: str
    comment: str | None
    rows: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Grant:
    """A privilege on a table, or on one column; `grantee` is SQL: a quoted role, or public."""

    table: str
    column: str | None
    grantee: str
    privilege: str
    grantable: bool


# --- the release ---------------------------------------------------------------------------------


def read_tables(source: duckdb.DuckDBPyConnection) -> list[Table]:
    """Describe the tables that people read in an open release.

    Raises CopyError if Postgres has no type for a column.
    """
    columns: dict[str, list[Column]] = {}
    for table, *column in source.execute(
        """
        select table_name, column_name, data_type, comment
        from duckdb_columns()
        where database_name = current_database() and schema_name = $1
        order by table_name, column_index
        """,
        [SOURCE_SCHEMA],
    ).fetchall():
        columns.setdefault(table, []).append(Column(*column))
    for table, members in columns.items():
        for column in members:
            if column.postgres_type is None:
                raise CopyError(
                    f"Column {column.name} of table {table} has the type {column.type}, "
                    "for which this script knows no type of Postgres."
                )
    comments = source.execute(
        """
        select table_name, comment
        from duckdb_tables()
        where database_name = current_database() and schema_name = $1
        order by table_name
        """,
        [SOURCE_SCHEMA],
    ).fetchall()
    return [
        Table(name, comment, _count(source, name), tuple(columns[name]))
        for name, comment in comments
    ]


def _count(source: duckdb.DuckDBPyConnection, table: str) -> int:
    return source.execute(f"select count(*) from {_relation(table)}").fetchone()[0]


def _batches(source: duckdb.DuckDBPyConnection, table: Table) -> Iterator[list[tuple]]:
    expressions = ", ".join(column.expression for column in table.columns)
    result = source.execute(f"select {expressions} from {_relation(table.name)}")
    while rows := result.fetchmany(BATCH_ROWS):
        yield rows


def _relation(table: str) -> str:
    return f"{SOURCE_SCHEMA}.{releases.name(table)}"


# --- the copy ------------------------------------------------------------------------------------


def copy_release(
    source: duckdb.DuckDBPyConnection,
    target: psycopg.Connection,
    release: str,
    schema: str,
    patience: float,
) -> list[Table]:
    """Replace the tables of a Postgres schema by those of an open release, in one transaction.

    `release` is a name for the schema's comment; `patience` is how many seconds to wait for
    readers of the old tables to finish. Returns the tables copied.

    Raises CopyError, psycopg.Error or duckdb.Error; the schema is then as it was.
    """
    tables = read_tables(source)
    target.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    with target.transaction():
        for timeout in ("statement", "lock", "idle_in_transaction_session"):
            target.execute(f"set local {timeout}_timeout = 0")
        _keep_other_copies_out(target, schema)
        old = _take_over_schema(target, schema, release, [table.name for table in tables])
        _refuse_to_break(target, old)
        with tqdm(
            total=sum(table.rows for table in tables), unit=" rows", unit_scale=True, disable=None
        ) as progress:
            for table in tables:
                progress.set_description(table.name)
                _copy_table(source, target, schema, table, progress)
            progress.set_description("replacing the old tables")
            _swap(target, schema, tables, old, patience)
    return tables


def _keep_other_copies_out(target: psycopg.Connection, schema: str) -> None:
    lock = "select pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    if not target.execute(lock, [f"copy_to_postgres {schema}"]).fetchone()[0]:
        raise CopyError(f"Another copy to schema {schema} is running; wait until it is done.")


def _take_over_schema(
    target: psycopg.Connection, schema: str, release: str, names: Sequence[str]
) -> dict[str, int]:
    """Make the schema, or check that it may be written; return old tables with their oids."""
    found = target.execute(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = %s",
        [schema],
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
    source: duckdb.DuckDBPyConnection,
    target: psycopg.Connection,
    schema: str,
    table: Table,
    progress: tqdm,
) -> None:
    name = sql.Identifier(schema, table.name + NEXT)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(column.postgres_type))
        for column in table.columns
    )
    target.execute(sql.SQL("create table {} ({})").format(name, columns))
    # Frozen rows are seen by transactions that began before the copy, too. Without it, a reader
    # with an old snapshot would find the new tables empty.
    statement = sql.SQL("copy {} from stdin (format binary, freeze)").format(name)
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([column.postgres_type.partition("(")[0] for column in table.columns])
        for rows in _batches(source, table):
            for row in rows:
                copy.write_row(row)
            progress.update(len(rows))
    target.execute(sql.SQL("comment on table {} is {}").format(name, sql.Literal(table.comment)))
    for column in table.columns:
        target.execute(
            sql.SQL("comment on column {} is {}").format(
                sql.Identifier(schema, table.name + NEXT, column.name),
                sql.Literal(column.comment),
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


# --- the command line ----------------------------------------------------------------------------


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Copy a release into a Postgres schema, whole or not at all,\n"
        "in place of the release that was copied there before.",
        epilog=HELP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--dsn", default="", metavar="DSN", help="connection string or URI of the database"
    )
    parser.add_argument("--schema", default="marts", help="schema to write (default: marts)")
    parser.add_argument(
        "--release", metavar="NAME", help="release to copy (default: the one that is served)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=300,
        metavar="SECONDS",
        help="how long to wait for readers of the old tables to finish (default: 300)",
    )
    arguments, others = parser.parse_known_args()
    if others:
        # Not shown, as they may be a connection string, or the rest of one without quotes.
        parser.error(f"{len(others)} unknown arguments; quote a connection string with blanks")
    return arguments


def _connect(dsn: str) -> psycopg.Connection:
    try:
        return psycopg.connect(
            dsn, client_encoding="utf8", fallback_application_name="copy_to_postgres"
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


def main() -> int:
    """Run the command line; the exit code is 1 on an error, 130 when interrupted."""
    arguments = _parse_arguments()
    started = time.monotonic()
    try:
        # Looked up once: another release may become the one that is served during the copy.
        release = releases.find_release(releases.release_folder(), arguments.release)
        releases.verify(release)
        with (
            duckdb.connect(release / releases.DATABASE, read_only=True) as source,
            _connect(arguments.dsn) as target,
        ):
            database = target.info.dbname
            tables = copy_release(source, target, release.name, arguments.schema, arguments.wait)
    except (CopyError, releases.ReleaseError) as error:
        print(error, file=sys.stderr)
        return 1
    except psycopg.Error as error:
        print(_reason(error), file=sys.stderr)
        return 1
    except duckdb.Error as error:
        print(f"The release cannot be read: {_first_line(error)}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; nothing is half done.", file=sys.stderr)
        return 130
    rows = sum(table.rows for table in tables)
    print(
        f"Copied release {release.name} to schema {arguments.schema} of database {database}: "
        f"{len(tables)} tables, {rows:,} rows, {time.monotonic() - started:.1f} seconds."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
