"""Copies of the marts: the database file of a release, made from the work database and measured."""

import subprocess
from contextlib import suppress
from functools import reduce
from hashlib import md5
from pathlib import Path

import duckdb
from tqdm import tqdm

from ott import OttError

# Every DuckDB since 1.0 reads it.
STORAGE_VERSION = "v1.0.0"
# Of the manifest, which holds our checksums. Another one, or none, has some of another kind.
FORMAT = 3
# Name of the new file in the build's connection, unlike that of any work database.
COPY = "ott_release_copy"
# Of a copied file, the share that holds nothing from which on it is not worth it. A work database
# keeps space to write tables anew, and a release has no use for some that are in there.
DEAD_SHARE = 1 / 2
# Marts by name. Of one that is what is left of a table of schema `marts`: which `table`, of which
# `rows`, and which columns are the `day` of a row and the `fingerprint` of its day; else nothing.
Marts = dict[str, dict[str, str]]
# SQL of the whole number that a checksum makes of a value, by its type; others it takes as text.
INTEGERS = "BOOLEAN TINYINT SMALLINT INTEGER BIGINT UTINYINT USMALLINT UINTEGER UBIGINT"
AS_NUMBER = {
    **dict.fromkeys(INTEGERS.split(), "{0}"),
    "DOUBLE": "cast(cast({0} as bit) as bigint)",
    # Infinite moments have no microseconds.
    "TIMESTAMP": "coalesce(epoch_us({0}), md5_number_lower(cast({0} as varchar)))",
}


class ReleaseError(OttError):
    """A sentence for the user: what is wrong with a release and what to do."""


def copy(
    connection: duckdb.DuckDBPyConnection,
    marts: Marts,
    database: Path,
    last: dict,
    *,
    is_compact: bool,
) -> dict[str, dict]:
    """Copy marts into a new database file, and return what the manifest says of each.

    The file of the work database where that will do, else row by row. `last` is the manifest of the
    release before. Raises ReleaseError with the marts that differ from their originals.
    """
    (source,) = connection.execute("select current_database()").fetchone()
    is_file = not is_compact and copy_file(connection, source, marts, database)
    copies = None
    if is_file and write_marts(connection, source, marts, database) < DEAD_SHARE:
        copies = check_copies(connection, source, marts, database, last)
    # As when a mart is no longer what its table holds.
    if not copies or None in copies.values():
        database.unlink(missing_ok=True)
        marts = {mart: {} for mart in marts}
        write_marts(connection, source, marts, database)
        copies = check_copies(connection, source, marts, database, last)
    if differing := [mart for mart, measured in copies.items() if measured is None]:
        raise ReleaseError(
            f"The copy differs from the work database in {', '.join(differing)}; build again."
        )
    return copies


def copy_file(
    connection: duckdb.DuckDBPyConnection, source: str, marts: Marts, database: Path
) -> bool:
    """Copy the file of the work database, and return whether there is one to be made a release.

    It holds a table for a mart, in our storage format, and no change is in its log alone.
    """
    path, tags = connection.execute(
        f"select path, tags from duckdb_databases() where database_name = {text(source)}"
    ).fetchone()
    is_ours = tags.get("storage_version", "").startswith(STORAGE_VERSION)
    if not (path and is_ours and any(marts.values())):
        return False
    # Not while somebody writes; whoever copies row by row need not wait.
    with suppress(duckdb.Error):
        connection.execute(f"checkpoint {name(source)}")
    if Path(f"{path}.wal").exists():
        return False
    # In the mode of new files, and in a process of its own: one that closes a file gives up all its
    # locks on it, DuckDB's included. Blocks are shared where the file system can.
    database.touch()
    copied = subprocess.run(["cp", path, database], capture_output=True, text=True)
    if copied.returncode:
        raise OSError(copied.stderr)
    return True


def write_marts(
    connection: duckdb.DuckDBPyConnection, source: str, marts: Marts, database: Path
) -> float:
    """Write marts with their comments into a database file that is new, or a copy of the source.

    Returns the share of the file that is dead: what was dropped stays until it is written over.
    """
    connection.execute(
        f"attach {text(str(database))} as {COPY}"
        f" (read_write, storage_version {text(STORAGE_VERSION)})"
    )
    try:
        keep_tables(connection, source, marts)
        # One transaction reads all marts at one moment; closing undoes what is not committed.
        with connection.cursor() as transaction:
            transaction.begin()
            transaction.execute(f"create schema if not exists {COPY}.marts")
            for mart in tqdm(marts, desc="Publishing", unit="mart", disable=None, leave=False):
                transaction.execute(
                    f"create table if not exists {COPY}.marts.{name(mart)} as "
                    f"select * from {name(source)}.marts.{name(mart)}"
                )
            copy_comments(transaction, source, marts)
            transaction.commit()
        connection.execute(f"checkpoint {COPY}")
        sizes = f"from pragma_database_size() where database_name = '{COPY}'"
        (dead,) = connection.execute(f"select free_blocks / total_blocks {sizes}").fetchone()
        return dead
    finally:
        # Removes its log.
        connection.execute(f"detach {COPY}")


def keep_tables(connection: duckdb.DuckDBPyConnection, source: str, marts: Marts) -> None:
    """Leave in a copy of the work database the marts that are tables, or rows of one."""
    kept = {about.get("table", mart) for mart, about in marts.items()}
    found = connection.execute(f"""
        select 'view', schema_name, view_name from duckdb_views()
        where database_name = '{COPY}' and not internal
        union all
        select 'table', schema_name, table_name from duckdb_tables() where database_name = '{COPY}'
        union all
        select 'schema', schema_name, null from duckdb_schemas()
        where database_name = '{COPY}' and schema_name not in ('main', 'marts')
        order by 1 desc, 2
    """)
    for kind, schema, table in found.fetchall():
        if (kind, schema) != ("table", "marts") or table not in kept:
            place = f"{name(schema)}.{name(table)}" if table else f"{name(schema)} cascade"
            connection.execute(f"drop {kind} {COPY}.{place}")
    for mart, about in marts.items():
        if about:
            table = f"{COPY}.marts.{name(about['table'])}"
            columns = dict(describe(connection, f"{name(source)}.marts.{name(mart)}"))
            connection.execute(f"delete from {table} where ({about['rows']}) is not true")
            for column, _ in describe(connection, table):
                if column not in columns:
                    connection.execute(f"alter table {table} drop column {name(column)}")
            connection.execute(f"alter table {table} rename to {name(mart)}")


def copy_comments(connection: duckdb.DuckDBPyConnection, source: str, marts: Marts) -> None:
    """Give the copies the comments of the originals that they lack."""

    def comments(database: str) -> str:
        where = f"where database_name = {text(database)} and schema_name = 'marts'"
        return (
            f"select table_name, null as part, comment from duckdb_tables() {where}"
            f" union all select view_name, null, comment from duckdb_views() {where}"
            f" union all select table_name, column_name, comment from duckdb_columns() {where}"
        )

    found = connection.execute(f"({comments(source)}) except ({comments(COPY)})")
    for table, column, comment in found.fetchall():
        if table in marts and comment is not None:
            kind = "column" if column else "table"
            place = ".".join(map(name, [table, column] if column else [table]))
            connection.execute(f"comment on {kind} {COPY}.marts.{place} is {text(comment)}")


def check_copies(
    connection: duckdb.DuckDBPyConnection, source: str, marts: Marts, database: Path, last: dict
) -> dict[str, dict | None]:
    """Return what the manifest says of each mart in a database file, None of one that differs.

    Reads the file anew, with the memory and the version of DuckDB that read the originals.
    """
    connection.execute(f"attach {text(str(database))} as {COPY} (read_only)")
    try:
        known = last.get("marts", {})
        return {
            mart: check_mart(connection, source, mart, about, known.get(mart, {}))
            for mart, about in marts.items()
        }
    finally:
        connection.execute(f"detach {COPY}")


def check_mart(
    connection: duckdb.DuckDBPyConnection, source: str, mart: str, about: dict, known: dict
) -> dict | None:
    """Hold a copied mart against its original, and return its measures, None if it differs.

    Checksums take longer than all else: with the fingerprint of the `known` measures of the last
    release, they are the same.
    """
    original, copied = (f"{name(place)}.marts.{name(mart)}" for place in (source, COPY))
    columns = describe(connection, original)
    if describe(connection, copied) != columns:
        return None

    def fingerprint(*values: object) -> str:
        return md5(repr((FORMAT, duckdb.__version__, columns, values)).encode()).hexdigest()

    def common_hash(where: str = "true") -> tuple | None:
        found = hash_of(connection, original, columns, where)
        return found if found == hash_of(connection, copied, columns, where) else None

    if not about:
        found = common_hash()
        now = {"fingerprint": fingerprint(found)}
        if found and now["fingerprint"] != known.get("fingerprint"):
            ((_, rows, checksum),) = measure(connection, copied, columns)
            return now | {"rows": rows, "checksum": str(checksum)}
        return found and known

    # Of the days, for which the file has the rows as they stood in the table. Days that were not
    # built anew since the last release are but counted, if the views are the same.
    day = name(about["day"])

    def by_day(value: str, relation: str) -> dict[str, int]:
        query = f"select cast({day} as varchar), {value} from {relation} group by {day}"
        return dict(connection.execute(query).fetchall())

    rows = by_day("count(*)", original)
    if by_day("count(*)", copied) != rows:
        return None
    table = f"{name(source)}.marts.{name(about['table'])}"
    built = by_day(f"any_value({name(about['fingerprint'])})", table)
    views = definitions(connection, source, mart)
    days = {
        at: {"fingerprint": fingerprint(views, built.get(at)), "rows": count}
        for at, count in rows.items()
    }
    for at, then in known.get("days", {}).items():
        if at in days and days[at].items() <= then.items():
            days[at] = then
    new = ", ".join(text(at) for at, now in days.items() if "checksum" not in now)
    where = f"{day} in ({new})"
    if new and not common_hash(where):
        return None
    if new:
        for at, _, checksum in measure(connection, copied, columns, about["day"], where):
            days[at]["checksum"] = str(checksum)
    return {
        "rows": sum(rows.values()),
        "checksum": str(sum(int(now["checksum"]) for now in days.values())),
        "days": dict(sorted(days.items())),
    }


def definitions(connection: duckdb.DuckDBPyConnection, source: str, mart: str) -> list[str]:
    """Return the SQL of a mart and of the views that it reads."""
    views = f"select view_name, sql from duckdb_views() where database_name = {text(source)}"
    views = dict(connection.execute(views).fetchall())
    read = [mart]
    for view in read:
        read.extend(other for other in views if other not in read and other in views.get(view, ""))
    return [views.get(view) for view in read]


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> list[tuple[str, str]]:
    """Return names and types of the columns of a relation."""
    return [column[:2] for column in connection.execute(f"describe {relation}").fetchall()]


def hash_of(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: list[tuple], where: str
) -> tuple:
    """Return the number of rows, and the sum of DuckDB's hash of each row.

    Fast, but only to be compared within one version of DuckDB, whose hash is its own affair.
    """
    # The constant, because a hash mixes all values but the last.
    values = ", ".join([*(name(column) for column, _ in columns), "0"])
    query = f"select count(*), sum(hash({values})) from {relation} where {where}"
    return connection.execute(query).fetchone()


def list_marts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the relations of schema `marts` in the connection's own database."""
    found = connection.execute(
        "select table_name from information_schema.tables"
        " where table_catalog = current_database() and table_schema = 'marts' order by all"
    )
    return [mart for (mart,) in found.fetchall()]


def measure_marts(connection: duckdb.DuckDBPyConnection, marts: list[str]) -> dict[str, dict]:
    """Return each mart's number of rows and a checksum of its values, whatever their order."""
    measured = {}
    for mart in marts:
        relation = f"marts.{name(mart)}"
        (_, rows, checksum), *_ = measure(connection, relation, describe(connection, relation))
        measured[mart] = {"rows": rows, "checksum": str(checksum)}
    return measured


def measure(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: list[tuple[str, str]],
    day: str | None = None,
    where: str = "true",
) -> list[tuple[str | None, int, int]]:
    """Return the number of rows and the checksum of a relation, or of each day in a column.

    MD5 and whole numbers are the same in every DuckDB, its own hash is not. MD5 is slow and most
    texts occur many times, so rows with the same texts and dates are taken together: MD5 of these,
    the number of these rows and a sum of a hash of each row's numbers. Checksums of days add up.

    The hash: each number times a constant of its column (62 bits, odd; a missing number counts as
    2^64, which none is), these joined by xor, folded to 62 bits and squared, so that it matters
    which numbers share a row.
    """
    texts, numbers, part = [], ["0::hugeint"], "null"
    for column, kind in columns:
        if kind in AS_NUMBER:
            number = AS_NUMBER[kind].format(name(column))
            factor = int.from_bytes(md5(column.encode()).digest()[:8]) >> 2 | 1
            numbers.append(f"{factor} * coalesce(cast({number} as hugeint), {2**64})")
        else:
            if column == day:
                part = f"text_{len(texts)}"
            texts.append(f"coalesce(cast({name(column)} as varchar), chr(30)) as text_{len(texts)}")
    keys = "".join(f"text_{index}, " for index in range(len(texts)))
    row = reduce("xor({}, {})".format, numbers)
    values = ", ".join([*texts, f"{row} as number"])
    query = f"""
        select
            {part},
            cast(coalesce(sum(row_count), 0) as bigint),
            coalesce(sum(cast(
                md5_number_lower(concat_ws(chr(31), {keys} row_count, total)) as hugeint
            )), 0)
        from (
            select {keys} count(*) as row_count, sum((folded * folded) >> 32) as total
            from (
                select {keys} xor(number, number >> 62) & {2**62 - 1} as folded
                from (select {values} from {relation} where {where})
            )
            group by all
        )
        {f"group by {part}" if day else ""}
    """
    return connection.execute(query).fetchall()


def name(identifier: str) -> str:
    """Quote an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote an SQL text."""
    return "'" + value.replace("'", "''") + "'"
