"""The published tables that the report shows, read-only."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

DATABASE = "ott_compliance.duckdb"
# More points hide each other and make the file large; the page says when rows are left out.
MAXIMUM_ROWS = {"dim_users": 1000, "compliance_by_date": 400}
# Personal data: a release may leave these tables out.
OPTIONAL_TABLES = {"dim_users", "top_risk_users"}

# Of tables without display_order that their first column does not order as needed.
ORDERS = {
    "compliance_by_date": "event_date desc",
    "compliance_by_region_and_regulation": """
        (select display_order from marts.compliance_by_region as named
        where named.region = compliance_by_region_and_regulation.region),
        (select display_order from marts.compliance_by_regulation as named
        where named.regulation = compliance_by_region_and_regulation.regulation)""",
    "dim_users": "risk_evidence = 'confirmed' desc, md5(cast(user_id as varchar)), user_id",
    "violation_associations": "p_adjusted nulls last, dimension",
}

Row = dict[str, Any]


class ReportError(Exception):
    """A reason, in one sentence, why no report can be written."""


def database_file(release: Path) -> Path:
    """Return the database file of a release.

    `release` is that file, a folder that holds it, or the folder of all releases.
    Raises ReportError when there is none.
    """
    for candidate in (release, release / DATABASE, release / "current" / DATABASE):
        if candidate.is_file():
            return candidate.resolve()
    raise ReportError(
        f"There is no release at {release}: run `make build` first, or name one with --release."
    )


class Release:
    """The tables of one release, read-only, each read once."""

    def __init__(self, file: Path, with_users: bool = False) -> None:
        """Open the database, with its tables of single users or as if it had none.

        Raises ReportError when it cannot be read.
        """
        try:
            self._connection = duckdb.connect(str(file), read_only=True)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReportError(f"{file} cannot be opened as a DuckDB database: {reason}") from error
        self.file = file
        self.hidden = frozenset() if with_users else OPTIONAL_TABLES
        self._tables: dict[str, list[Row]] = {}

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def rows(self, table: str) -> list[Row]:
        """Return a table of the schema `marts`, in display order where it has one.

        An optional table that is hidden or missing is empty; without another one ReportError is
        raised. Tables in `MAXIMUM_ROWS` are cut: of the users those confirmed come first, then
        others picked by a hash of their id, which favours nobody and is the same in every report;
        of the days the last ones are kept.
        """
        if table not in self._tables:
            columns = [] if table in self.hidden else self.columns(table)
            order = "display_order" if "display_order" in columns else ORDERS.get(table, "1")
            limit = f"limit {MAXIMUM_ROWS[table]}" if table in MAXIMUM_ROWS else ""
            query = f'from marts."{table}" order by {order} {limit}'
            self._tables[table] = self._read(query) if columns else []
            if table == "compliance_by_date":
                self._tables[table].reverse()
        return self._tables[table]

    def size(self, table: str) -> int:
        """Return the number of rows of a table, those left out of `rows` as well."""
        return self._read(f'select count(*) as size from marts."{table}"')[0]["size"]

    def columns(self, table: str) -> list[str]:
        """Return the column names of a table, none if it is optional and missing."""
        found = self._read(
            "select column_name from information_schema.columns "
            f"where table_schema = 'marts' and table_name = '{table}' order by ordinal_position"
        )
        if not found and table not in OPTIONAL_TABLES:
            raise ReportError(
                f"{self.file} has no table marts.{table}: run `make build` to publish it anew."
            )
        return [row["column_name"] for row in found]

    def _read(self, query: str) -> list[Row]:
        try:
            result = self._connection.execute(query)
            names = [column[0] for column in result.description]
            return [
                {name: _plain(value) for name, value in zip(names, values, strict=True)}
                for values in result.fetchall()
            ]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReportError(f"{self.file} cannot be read: {reason}") from error

    @cached_property
    def summary(self) -> dict[str, Row]:
        """Rows of `compliance_summary` by metric."""
        return {row["metric"]: row for row in self.rows("compliance_summary")}

    @property
    def violation_rate(self) -> float | None:
        """Violation rate of all events, a fraction; None without events."""
        return self.summary["violation_rate"]["value_number"]

    @cached_property
    def manifest(self) -> Row:
        """Printable texts in manifest.json beside the database; empty when there is none."""
        try:
            content = json.loads((self.file.parent / "manifest.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(content, dict):
            return {}
        return {
            name: value
            for name, value in content.items()
            if isinstance(value, str) and value.isprintable()
        }


def _plain(value: Any) -> Any:
    return None if value != value else value  # NaN is the only value unequal to itself
