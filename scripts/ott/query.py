"""Answers to SQL from a release, as text of which nothing is cut."""

from __future__ import annotations

import csv
import io
import shutil
import textwrap
from contextlib import redirect_stdout
from pathlib import Path

import duckdb

from ott import OttError
from ott.catalog import SCHEMA, Release

KEY_FINDINGS = "select finding, verdict from key_findings order by display_order"
# DuckDB cuts tables to limits, and has no word for none.
NO_LIMIT = 2**31 - 1


def answer(where: Path, sql: str | None = None, as_csv: bool = False) -> str:
    """Return the rows of a query, by default the key findings, as text.

    The schema of the marts need not be named. Raises ReleaseError when there is no release, and
    OttError with DuckDB's reason when the query fails.
    """
    with Release(where) as release:
        try:
            release.connection.execute(f"set schema = '{SCHEMA}'")
            relation = release.connection.sql(sql or KEY_FINDINGS)
            if relation is None:
                return "This is no query: it answers with no rows."
            relation.execute()
            if as_csv:
                return as_values(relation)
            with redirect_stdout(io.StringIO()) as table:
                relation.show(max_width=NO_LIMIT, max_rows=NO_LIMIT, max_col_width=NO_LIMIT)
            width = shutil.get_terminal_size((100, 24)).columns
            if table.getvalue().index("\n") > width:
                return as_records(relation, width)
            return table.getvalue().rstrip("\n")
        except duckdb.Error as error:
            raise OttError(str(error)) from error


def as_values(relation: duckdb.DuckDBPyRelation) -> str:
    """Return rows as CSV, with the names of the columns first."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([relation.columns, *relation.fetchall()])
    return text.getvalue().rstrip("\n")


def as_records(relation: duckdb.DuckDBPyRelation, width: int) -> str:
    """Return rows one below the other, a line a value, for tables wider than the terminal."""
    indent = max(map(len, relation.columns)) + 2
    records = []
    for row in relation.fetchall():
        values = zip(relation.columns, row, strict=True)
        records.append(
            "\n".join(
                textwrap.fill(
                    f"{name:{indent}}{'' if value is None else value}",
                    max(width, indent + 20),
                    subsequent_indent=" " * indent,
                )
                for name, value in values
            )
        )
    return "\n\n".join([*records, f"{len(records)} rows"])
