"""Answers to SQL from a release, as text of which nothing is cut."""

import csv
import io
import shutil
import textwrap
from pathlib import Path
from typing import Any
from unicodedata import category

import duckdb

from ott import OttError
from ott.catalog import SCHEMA, Release

KEY_FINDINGS = "select finding, detail, verdict from key_findings order by display_order"


def answer(where: Path, sql: str | None = None, as_csv: bool = False) -> str:
    """Return the answer to a query, by default the key findings, as text, or raise OttError."""
    with Release(where) as release:
        try:
            release.connection.execute(f"set schema = '{SCHEMA}'")
            relation = release.connection.sql(sql or KEY_FINDINGS)
            if relation is None:
                raise OttError("This is no query: it answers with no rows.")
            names, rows = relation.columns, relation.fetchall()
        except duckdb.Error as error:
            raise OttError(str(error)) from error
    if as_csv:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([names, *rows])
        return text.getvalue().rstrip("\n")
    width = shutil.get_terminal_size((100, 24)).columns
    table = as_table(names, rows)
    return as_records(names, rows, width) if rows and table.index("\n") > width else table


def as_table(names: list[str], rows: list[tuple]) -> str:
    """Return rows as a table with a line of names, numbers to the right."""
    lines = [names, *([_written(value) for value in row] for row in rows)]
    forms = []
    for place, column in enumerate(zip(*lines, strict=True)):
        is_number = any(isinstance(row[place], int | float) for row in rows)
        forms.append(f"{'>' if is_number else '<'}{max(map(len, column))}")
    lines.insert(1, ["-" * int(form[1:]) for form in forms])
    return "\n".join("  ".join(map(format, line, forms)).rstrip() for line in lines)


def as_records(names: list[str], rows: list[tuple], width: int) -> str:
    """Return rows one below the other, a line a value, for tables wider than the terminal."""
    indent = max(map(len, names)) + 2
    records = [
        "\n".join(
            textwrap.fill(
                f"{name:{indent}}{_written(value)}",
                max(width, indent + 20),
                subsequent_indent=" " * indent,
            )
            for name, value in zip(names, row, strict=True)
        )
        for row in rows
    ]
    return "\n\n".join(records)


def _written(value: Any) -> str:
    """Return a value as text that moves and colours nothing in a terminal."""
    text = "" if value is None else str(value)
    return "".join(
        letter.encode("unicode_escape").decode() if category(letter).startswith("C") else letter
        for letter in text
    )
