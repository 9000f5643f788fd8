"""CSV files, whose form is told or found by us, never by DuckDB."""

import csv
import io
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import duckdb

from ott.copies import name, text
from ott.source.files import fold, hive_keys, is_remote, literals, opened
from ott.source.parts import Part, Reader
from ott.source.sentences import SourceError, explained, lacks, short, unusable

# DuckDB must not guess the form of a CSV file: where a row has a value too many, it takes the rows
# before it for a preface, and it takes `#` for a comment; the rows are lost without a word.
CSV_FORM = {"auto_detect": False, "header": True, "quote": '"', "escape": '"'}
DELIMITERS = (",", ";", "\t", "|")
# What programs write where there is no value; no member of a dimension is called like this.
NULL_TEXTS = ["", r"\N", "NULL", "null", "NaN", "nan"]
# What is told of values in text goes to the readers of columns, not to DuckDB's.
FORMATS_OF_VALUES = {"type", "decimal", "thousands", "timestampformat"}
# What `csv_rows` reads as DuckDB does.
COUNTABLE = {"encoding", "quote", "escape", "nullstr", "header", "skip"}


class CsvReader(Reader):
    """Reads CSV files, all columns of which are text."""

    def parts(self) -> Iterator[Part]:
        """Yield files of the same first line and form."""
        files_of_headers: dict[tuple, list[str]] = defaultdict(list)
        self.forms = {}
        for file in self.files:
            form = CsvForm(file, self.connection, self.wanted.all_names, self.form)
            self.forms[file] = form
            if form.is_empty and self.named != file:
                self.notes.append(f"{short(file)} is empty; it is not read.")
                continue
            header = tuple(fold(column.strip()) for column in form.header)
            require_once(file, header, [*map(fold, self.wanted.names)])
            self.require_some_column(file, header)
            files_of_headers[header, form.options, str(hive_keys(file))].append(file)
        if not files_of_headers:
            raise unusable(self.named, "is empty. There are no events to read.")
        for (header, options, _), alike in files_of_headers.items():
            # Others may have no name, or one twice.
            named = [
                column if column and header.count(column) == 1 else f"column {number}, not read"
                for number, column in enumerate(header)
            ]
            columns = ", ".join(f"{name(column)}: 'VARCHAR'" for column in named)
            yield Part(
                alike,
                dict.fromkeys(named, "VARCHAR"),
                f"read_csv({literals(alike)}, {options}, {{options}}, columns = {{{columns}}})",
                [column.strip() for column in self.forms[alike[0]].header],
            )

    def count_rows(self, file: str) -> int | None:
        """Return how many rows follow the header, none if only DuckDB can tell."""
        form = self.forms[file]
        if is_remote(file) or not form.is_countable:
            return None
        rows = sum(map(bool, csv_rows(file, **form.read)))
        return rows - form.has_header if rows else 0


class CsvForm:
    """How a CSV file is written: its `header`, and `options` of DuckDB's reader."""

    def __init__(
        self,
        file: str,
        connection: duckdb.DuckDBPyConnection,
        wanted: list[str],
        told: dict[str, Any],
    ) -> None:
        """Read the first line. What nobody tells is the form that names most wanted columns."""
        told = {key: value for key, value in told.items() if key not in FORMATS_OF_VALUES}
        if told.pop("ignore_errors", False) or told.pop("store_rejects", False):
            raise SourceError(
                "The var events_format sets ignore_errors, by which rows get lost. Leave it out."
            )
        names = told.pop("names", None)
        delimiter = told.pop("delim", told.pop("sep", None))
        self.is_countable = told.keys() <= COUNTABLE
        first = first_line(file, connection, told)
        if (separator := re.fullmatch("sep=(.)", first)) and not told.get("skip"):
            # Excel's own way to tell.
            delimiter = delimiter or separator[1]
            told["skip"] = 1
            first = first_line(file, connection, told)
        wanted = {*map(fold, wanted)}

        def names_with(mark: str) -> tuple[int, int]:
            cells = next(csv.reader([first], delimiter=mark), [])
            columns = {fold(cell.strip()) for cell in cells}
            return len(wanted & columns), len(columns)

        quote, escape = told.get("quote", '"'), told.get("escape", '"')
        self.read = {
            "encoding": told.get("encoding", "utf-8"),
            "skip": told.get("skip", 0),
            "delimiter": delimiter or max(DELIMITERS, key=names_with),
            "quotechar": quote or None,
            "quoting": csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            "escapechar": escape if escape != quote else None,
            "doublequote": escape == quote,
        }
        self.has_header = told.get("header", True)
        self.header = names or first_row(file, connection, **self.read)
        self.is_empty = not any(self.header)
        if not names and not wanted & {fold(cell.strip()) for cell in self.header}:
            require_names(file, self.header)
        options = {**CSV_FORM, "delim": self.read["delimiter"], "nullstr": NULL_TEXTS, **told}
        self.options = ", ".join(f"{key} = {option(value)}" for key, value in options.items())


def option(value: object) -> str:
    """Return a value of YAML as DuckDB's readers take it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(option, value))}]"
    return text(value) if isinstance(value, str) else str(value)


def first_row(
    file: str, connection: duckdb.DuckDBPyConnection | None = None, **read: Any
) -> list[str]:
    """Return the values of the first line of a CSV file; a remote one comes by the connection."""
    if is_remote(file):
        del read["encoding"], read["skip"]
        return next(csv.reader([first_line(file, connection, {})], **read), [])
    rows = csv_rows(file, **read)
    first = next(rows, [])
    if not first and any(rows):
        # DuckDB would take it for the one that names the columns.
        raise unusable(file, "begins with an empty line. Remove it.")
    return first


def first_line(file: str, connection: duckdb.DuckDBPyConnection, told: dict[str, Any]) -> str:
    """Return the first line of a file that is not skipped, without its end."""
    if not is_remote(file):
        with opened(file) as binary:
            lines = io.TextIOWrapper(binary, encoding_of(told.get("encoding", "utf-8")))
            return next(islice(lines, told.get("skip", 0), None), "").rstrip("\r\n")
    with explained(file):
        # As one value; of the lines below, only their ends must be found.
        lines = connection.execute(
            f"select line from read_csv({literals([file])}, auto_detect = false, header = false,"
            " delim = '\x01', quote = '', escape = '', strict_mode = false,"
            " columns = {line: 'VARCHAR'}) limit 1"
        ).fetchall()
    return lines[0][0].removeprefix("\ufeff") if lines else ""


def encoding_of(told: str) -> str:
    """Return Python's name of an encoding; a mark at the beginning is no part of the text."""
    return {"utf-8": "utf-8-sig"}.get(told.lower(), told)


def csv_rows(
    file: str, encoding: str = "utf-8", skip: int = 0, **dialect: Any
) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, empty lines as empty rows.

    Raises SourceError at the first that has another number of values than the one above all.
    """
    csv.field_size_limit(sys.maxsize)
    width = None
    with opened(file) as binary:
        lines = io.TextIOWrapper(binary, encoding_of(encoding), newline="")
        for _ in range(skip):
            lines.readline()
        reader = csv.reader(lines, strict=True, **dialect)
        try:
            for row in reader:
                width = width or len(row)
                if row and len(row) != width:
                    raise unusable(
                        file,
                        f"cannot be read: line {reader.line_num + skip} has"
                        f" {len(row)} values, and the first line names {width} columns. Mend it"
                        " there; values that hold commas stand in double quotes.",
                    )
                yield row
        except csv.Error:
            raise unusable(
                file,
                f"cannot be read: a quote is not closed, or text follows a closing one, in the row"
                f" that ends in line {reader.line_num + skip}. Mend it there; quotes within values"
                " are doubled.",
            ) from None


def count_seed(file: str, columns: list[str]) -> int:
    """Return how many rows the seed of the events holds; raises SourceError if it is unusable.

    dbt loads one with a wrong delimiter or without rows as if nothing were amiss, and reports an
    empty one as a StopIteration. Its columns are named exactly like `columns`.
    """
    header = first_row(file)
    if not any(header):
        raise unusable(file, f"is empty. Its first line must name the columns: {','.join(columns)}")
    others = [mark for mark in DELIMITERS[1:] if mark in "".join(header)]
    if others and not set(columns).issubset(header):
        raise unusable(
            file,
            f"is not separated by commas but by {others[0]!r}, it seems."
            " Save it as CSV with commas.",
        )
    if missing := [column for column in columns if column not in header]:
        raise unusable(file, lacks(missing, [] if missing == columns else header))
    require_once(file, header, columns)
    rows = sum(map(bool, csv_rows(file))) - 1
    if not rows:
        raise unusable(file, "has a header but no rows. Add events below it.")
    return rows


def require_once(file: str, header: Iterable[str], columns: list[str]) -> None:
    """Raise SourceError when the first line of a CSV file names a column more than once."""
    for column in columns:
        if [*header].count(column) > 1:
            raise unusable(
                file, f"names the column {column} twice in its first line. Rename or remove one."
            )


def require_names(file: str, header: list[str]) -> None:
    """Raise SourceError when the first line of a CSV file holds values, it seems, and no names."""
    if any(re.fullmatch(r"[-+\d][-+\d.,:TZ ]*", cell.strip()) for cell in header):
        raise unusable(
            file,
            f"has no line of names, it seems: its first line holds {len(header)} values. Name its"
            " columns in their order in the var events_format: {type: csv, header: false, names:"
            " [event_id, timestamp, ...]}.",
        )
