"""A release as other programs need it: its tables, what they say about themselves, their rows."""

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from ott.releases import CURRENT, DATABASE, MANIFEST, ReleaseError

SCHEMA = "marts"
# Personal data: a release may leave these tables out.
OPTIONAL_TABLES = {"dim_users", "top_risk_users"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table, with its type in DuckDB."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """A table that people read."""

    name: str
    comment: str
    columns: tuple[Column, ...]


class Release(AbstractContextManager):
    """One release, opened read-only; it stays what it is when another one is served."""

    def __init__(self, where: Path) -> None:
        """Open the database of a release: that file, its folder, or the folder of all releases.

        Raises ReleaseError when there is none, or it cannot be opened.
        """
        candidates = (where, where / DATABASE, where / CURRENT / DATABASE)
        file = next((path for path in candidates if path.is_file()), None)
        if file is None:
            raise ReleaseError(
                f"There is no release at {where}: run `make build` first, or name one with"
                " --release or OTT_RELEASE_PATH."
            )
        self.file = file.resolve()
        try:
            self.connection = duckdb.connect(str(self.file), read_only=True)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReleaseError(
                f"{self.file} cannot be opened as a DuckDB database: {reason}"
            ) from error

    def __exit__(self, *error: object) -> None:
        """Close the database."""
        self.connection.close()

    def query(self, sql: str) -> list[Row]:
        """Return the rows of a query; raises ReleaseError when it fails."""
        try:
            result = self.connection.execute(sql)
            names = [column[0] for column in result.description]
            return [dict(zip(names, values, strict=True)) for values in result.fetchall()]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReleaseError(f"{self.file} cannot be read: {reason}") from error

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables by name, in alphabetical order."""
        rows = self.query(f"""
            select t.table_name as name, coalesce(any_value(t.comment), '') as comment, list({{
                'name': c.column_name, 'type': c.data_type, 'comment': coalesce(c.comment, '')
            }} order by c.column_index) as columns
            from duckdb_tables() as t join duckdb_columns() as c using (database_oid, table_oid)
            where t.database_name = current_database() and t.schema_name = '{SCHEMA}'
            group by t.table_name order by t.table_name
        """)
        return {
            row["name"]: Table(**row | {"columns": tuple(Column(**c) for c in row["columns"])})
            for row in rows
        }

    def size(self, table: str) -> int:
        """Return the number of rows of a table."""
        return self.query(f'select count(*) as size from {SCHEMA}."{table}"')[0]["size"]

    def require(self, used: Iterable[tuple[str, str]]) -> None:
        """Raise ReleaseError for tables, unless optional, and columns of them that are missing."""
        lacking = set()
        for name, column in used:
            if table := self.tables.get(name):
                if column not in {present.name for present in table.columns}:
                    lacking.add(f"{name}.{column}")
            elif name not in OPTIONAL_TABLES:
                lacking.add(name)
        if lacking:
            raise ReleaseError(
                f"The release at {self.file} lacks {', '.join(sorted(lacking))}:"
                " run `make build` to publish it anew."
            )

    @cached_property
    def manifest(self) -> Row:
        """Printable texts in the manifest beside the database; empty when there is none."""
        try:
            content = json.loads((self.file.parent / MANIFEST).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            content = None
        return {
            name: value
            for name, value in (content.items() if isinstance(content, dict) else ())
            if isinstance(value, str) and value.isprintable()
        }
