"""A release as other programs need it: its tables, what they say about themselves, their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
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


class Release:
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

    def __enter__(self) -> Release:
        """Return the release."""
        return self

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
        here = f"database_name = current_database() and schema_name = '{SCHEMA}'"
        columns: dict[str, list[Column]] = {}
        for row in self.query(
            "select table_name, column_name, data_type, coalesce(comment, '') as comment"
            f" from duckdb_columns() where {here} order by table_name, column_index"
        ):
            column = Column(row["column_name"], row["data_type"], row["comment"])
            columns.setdefault(row["table_name"], []).append(column)
        return {
            row["table_name"]: Table(
                row["table_name"], row["comment"], tuple(columns[row["table_name"]])
            )
            for row in self.query(
                "select table_name, coalesce(comment, '') as comment"
                f" from duckdb_tables() where {here} order by table_name"
            )
        }

    def size(self, table: str) -> int:
        """Return the number of rows of a table."""
        return self.query(f'select count(*) as size from {SCHEMA}."{table}"')[0]["size"]

    def require(self, used: Iterable[tuple[str, str]]) -> None:
        """Raise ReleaseError unless the release has all of these columns, given with their tables.

        Optional tables may be missing.
        """
        lacking = set()
        for table, column in used:
            if table in self.tables:
                if all(column != present.name for present in self.tables[table].columns):
                    lacking.add(f"{table}.{column}")
            elif table not in OPTIONAL_TABLES:
                lacking.add(table)
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
            return {}
        if not isinstance(content, dict):
            return {}
        return {
            name: value
            for name, value in content.items()
            if isinstance(value, str) and value.isprintable()
        }
