"""The source of the events: what is wrong with it, the query that reads it, how many rows it has.

Macros call it through the SQL functions that `plugin.py` registers. No sentence of it holds
a value of a row, which may be personal.
"""

import csv
import gzip
import io
import json
import re
import string
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import escape
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import duckdb
import pyarrow as pa
from tqdm import tqdm

import ott
from ott import PROJECT, OttError
from ott.files import encoding_problem
from ott.releases import name, text

# Formats by the ending of a path, less that of a compression.
FORMATS = {
    **dict.fromkeys(("parquet", "parq", "pq"), "parquet"),
    **dict.fromkeys(("csv", "tsv"), "csv"),
    **dict.fromkeys(("json", "jsonl", "ndjson"), "json"),
}
COMPRESSIONS = (".gz", ".zst")
# How files of other kinds begin, whatever they are called.
MAGIC = {
    b"\x1f\x8b": "is packed with gzip: let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "is packed with zstandard: let its name end in .zst",
    b"PK\x03\x04": "is a zip archive or a workbook of Excel: unpack it, or save it as CSV",
    b"PAR1": "is a Parquet file: let its name end in .parquet",
}
# DuckDB must not guess the form of a CSV file: where a row has a value too many, it takes the rows
# before it for a preface, and it takes `#` for a comment; the rows are lost without a word.
CSV_FORM = {"auto_detect": False, "header": True, "quote": '"', "escape": '"'}
DELIMITERS = (",", ";", "\t", "|")
# What programs write where there is no value; no member of a dimension is called like this.
NULL_TEXTS = ["", r"\N", "NULL", "null", "NaN", "nan"]
# What is told of values in text goes to the readers of columns, not to DuckDB's.
FORMATS_OF_VALUES = {"type", "decimal", "thousands", "timestampformat"}
# Types of Parquet that have one in common which holds each of them exactly.
INTEGERS = {f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG")} | {
    "INTEGER",
    "UINTEGER",
}
# An object on a line of its own, also in an array.
OBJECT_LINE = re.compile(rb"[\s\[,]*\{(?!.*\}\s*,?\s*\{).*\}[\s\],]*", re.DOTALL)
NO_OBJECT = b"\xef\xbb\xbf \t\r\n[],"
# Strings, which may hold brackets or end in the next part, brackets, and what stands for no object.
JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|(?P<cut>\\?\Z))|[{}]|null', re.DOTALL)
# What DuckDB guesses from text in JSON. It is read as the text that it is.
GUESSED_TYPES = re.compile(
    r"\b(?:DATE|TIMESTAMP WITH TIME ZONE|TIMESTAMP_\w+|TIMESTAMP|TIME|UUID|NULL)\b(?! [A-Z])"
)
# Letters that DuckDB takes as equal in names.
ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# Words of DuckDB about text that it cannot read, beside which it may quote rows; and ours.
COMPLAINTS = {
    "invalid state": "mixes line ends of several kinds",
    "unterminated quote": "has a quote that is not closed, or text after a closing one",
    "Expected Number of Columns": "has another number of values than its first line has columns",
    "Maximum line size": "has a row of millions of characters, perhaps below an open quote",
    "utf-8": "is not UTF-8",
    "duplicate key": "has a key twice in one object",
    "JSON transform error": "holds something else than an object where an event should be",
    "Malformed JSON": "is no JSON there, or ends in the middle of an event",
    "maximum_object_size": "has an event of millions of characters",
    "too small to be a Parquet": "is no whole Parquet file: empty, or its upload was cut",
    "No magic bytes found": "is no whole Parquet file: cut, being written, or of another kind",
}
# Folders that a table format keeps its record in, and the function of DuckDB that reads it.
TABLE_FORMATS = {"_delta_log": "delta", "metadata": "iceberg"}


class SourceError(OttError):
    """A sentence for the user: what is wrong with the source of events and what to do."""


def unusable(file: str, problem: str) -> SourceError:
    """Return an error that names a file as people do, and what is wrong with it."""
    return SourceError(f"The events file {file.removeprefix(f'{ott.home}/')} {problem}")


def read(
    connection: duckdb.DuckDBPyConnection, request: dict[str, Any], checked: bool
) -> dict[str, Any]:
    """Return the `query` for a source, its number of `rows` when it is to be checked, and `notes`.

    The request has a `seed` with its `columns`, or the names and expressions of `Wanted` and one of
    `files`, with what the var events_format says of them as `format`, `sql` and `table`.
    """
    if "seed" in request:
        return {"rows": count_seed(str(PROJECT / request["seed"]), request["names"])}
    wanted = Wanted(request["names"], request["expressions"], request["file_order"])
    if "files" in request:
        events = EventFiles(connection, request["files"], wanted, request["format"])
    elif "sql" in request:
        query = request["sql"].strip().rstrip(";")
        refuse_files_of_caller(query)
        events = EventQuery(connection, f"({query})", wanted, "The query of the var events_source")
    else:
        events = EventQuery(connection, request["table"], wanted, request["named"])
    rows = events.count_rows() if checked else None
    return {"query": events.query, "rows": rows, "notes": events.notes}


@dataclass
class Wanted:
    """What is to be read: columns by name or by a path of names, and those that SQL speaks of.

    `expressions` are SQL by the column of an event that it makes; with `file_order`, a column
    `ott_file_order` tells the place of a row's file by time. With `everything`, all columns are.
    """

    names: list[str]
    expressions: dict[str, str] = field(default_factory=dict)
    file_order: bool = False
    everything: bool = False

    def spoken_of(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Return the names in the expressions, among them some that are no columns."""
        found = []
        for column, expression in self.expressions.items():
            (parsed,) = connection.execute(
                "select json_serialize_sql(?)", [f"select {expression}"]
            ).fetchone()
            parsed = json.loads(parsed)
            if parsed["error"]:
                raise SourceError(
                    f"The SQL of {column} in the vars cannot be read: {parsed['error_message']}"
                )
            found += column_names(parsed)
        return found


def column_names(parsed: Any) -> Iterator[str]:
    """Yield the first name of each column in a syntax tree of DuckDB."""
    if isinstance(parsed, dict):
        if parsed.get("class") == "COLUMN_REF":
            yield parsed["column_names"][0]
        parsed = parsed.values()
    elif not isinstance(parsed, list):
        return
    yield from chain.from_iterable(map(column_names, parsed))


@dataclass
class Part:
    """Files of the same columns: `types` by folded name, and what they are selected from."""

    files: list[str]
    types: dict[str, str]
    selected_from: str
    own_names: list[str]
    is_empty: bool = False
    hive: bool = False


class Events:
    """A source of events: `query` to select from, and `notes` about what it lacks in parts.

    Raises SourceError when something that is asked for is nowhere.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, wanted: Wanted) -> None:
        """Take what is wanted, and find the columns that it needs."""
        self.connection = connection
        self.wanted = wanted
        self.spoken_of = wanted.spoken_of(connection)
        self.notes: list[str] = []

    def with_paths(self, query: str, types: dict[str, str]) -> str:
        """Return the query with a column more for each path of names, called like it."""
        paths = []
        for path in self.paths(types):
            root, *steps = path.split(".")
            if types[fold(root)].startswith("STRUCT"):
                value = ".".join(map(name, (root, *steps)))
            else:
                value = f"{name(root)} ->> {text('$.' + '.'.join(steps))}"
            paths.append(f", {value} as {name(path)}")
        query = f"(select *{''.join(paths)} from {query})" if paths else query
        for column, expression in self.wanted.expressions.items():
            try:
                self.connection.execute(f"describe select {expression} from {query}")
            except duckdb.Error as error:
                raise SourceError(
                    f"The SQL of {column} in the vars does not fit the source, which has"
                    f" {', '.join(types)}: {str(error).splitlines()[0]}. Columns of CSV files are"
                    " text, which SQL must cast."
                ) from None
        return query

    def paths(self, types: dict[str, str]) -> list[str]:
        """Return the wanted names that are no columns but lie in one: `properties.region`."""
        return [
            path
            for path in self.wanted.names
            if fold(path) not in types and fold(path.partition(".")[0]) in types
        ]


class EventQuery(Events):
    """Events that a query of the user selects, or a table."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, query: str, wanted: Wanted, named: str
    ) -> None:
        """Find the columns of the query. `named` is how a sentence speaks of it."""
        super().__init__(connection, wanted)
        try:
            described = connection.execute(f"describe select * from {query}").fetchall()
        except duckdb.Error as error:
            raise SourceError(
                f"{named} cannot be read: {' '.join(str(error).split())[:300]}"
            ) from None
        types = {fold(column): kind for column, kind, *_ in described}
        if wanted.file_order:
            raise SourceError(
                "The var repeated_events says which row of an event to keep but not by what, and"
                " rows of a table or query have no file: add by: and a column, as in"
                " {keep: latest, by: updated_at}."
            )
        present = [*types, *map(fold, self.paths(types))]
        if missing := [column for column in wanted.names if fold(column) not in present]:
            raise SourceError(f"{named} {lacks(missing, [column for column, *_ in described])}")
        self.query = self.with_paths(query, types)

    def count_rows(self) -> None:
        """Nothing else than the query can tell."""


class EventFiles(Events):
    """The files that paths or globs name, as they are when this is made.

    Reads no rows before `count_rows`, but to look for keys of JSON.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        paths: str | list[str],
        wanted: Wanted,
        form: dict[str, Any] | None = None,
    ) -> None:
        """Find the files, and make the query for their columns: typed, or text as it stands.

        `form` tells what the files do not: their `type`, and options of DuckDB's reader.
        """
        super().__init__(connection, wanted)
        self.form = form or {}
        self.paths_of_source = [paths] if isinstance(paths, str) else paths
        self.named = ", ".join(map(str, self.paths_of_source))
        self.files: dict[str, list[str]] = defaultdict(list)
        for path in self.paths_of_source:
            for kind, files in find_files(connection, path, self.form.get("type")).items():
                self.files[kind] += files
        for files in self.files.values():
            refuse_table_formats(files)
        if len(self.all_files) == 1:
            self.named = self.all_files[0]
        readers = {"parquet": self._parquet, "csv": self._csv, "json": self._json}
        parts = [part for kind, files in self.files.items() for part in readers[kind](files)]
        self.query = self._union(parts)

    @property
    def all_files(self) -> list[str]:
        """All files, in no order that means anything."""
        return [*chain.from_iterable(self.files.values())]

    def _union(self, parts: list[Part]) -> str:
        """Return a query in which each part counts by its own types.

        A column of several types is read as text, since the type that DuckDB would choose for all
        of them changes values: whole numbers beside floats, dates beside moments, true beside
        numbers. One that only some parts have is null in the others.
        """
        # A file without rows has types, but nothing that is of them.
        filled = [part for part in parts if not part.is_empty] or parts[:1]
        kinds: dict[str, set[str]] = defaultdict(set)
        for part in filled:
            for column, kind in part.types.items():
                kinds[column].add(kind)
        hive = {key for part in filled for file in part.files for key in hive_keys(file)}
        for key in hive - kinds.keys():
            kinds[key].add("VARCHAR")
        types = {column: max(found) for column, found in kinds.items()}
        own_names = {fold(column): column for part in filled for column in part.own_names}
        present = {*types, *map(fold, self.paths(types))}
        if missing := [column for column in self.wanted.names if fold(column) not in present]:
            raise unusable(self.named, lacks(missing, [own_names.get(key, key) for key in types]))
        roots = [path.partition(".")[0] for path in self.paths(types)]
        every = (*own_names.values(), *hive) if self.wanted.everything else ()
        columns = {
            fold(column): column for column in (*every, *self.wanted.names, *roots, *self.spoken_of)
        }
        columns = [column for folded, column in columns.items() if folded in types]
        mixed = {
            column for column, found in kinds.items() if len(found) > 1 and not found <= INTEGERS
        }
        selects = []
        by_time = sorted(self.all_files, key=time_of)
        for part in filled:
            values = []
            keys = {*hive_keys(part.files[0])}
            for column in columns:
                kind = part.types.get(fold(column))
                if kind is None and fold(column) not in keys:
                    values.append(f"null as {name(column)}")
                    continue
                part.hive |= kind is None
                is_text = fold(column) in mixed and kind is not None
                values.append(as_text(column, kind) if is_text else name(column))
            hive_option = "true, hive_types_autocast = false" if part.hive else "false"
            if self.wanted.file_order:
                hive_option += ", filename = true"
                values.append(f"list_position({option(by_time)}, filename) as ott_file_order")
            selects.append(
                f"select {', '.join(values)} from "
                + part.selected_from.replace("{hive}", f"hive_partitioning = {hive_option}")
            )
        self._note_what_is_lacking(filled, columns, hive)
        types |= dict.fromkeys(mixed, "VARCHAR")
        return self.with_paths(f"({' union all '.join(selects)})", types)

    def _note_what_is_lacking(self, parts: list[Part], columns: list[str], hive: set[str]) -> None:
        files = sum(len(part.files) for part in parts)
        for column in columns:
            lacking = [
                file
                for part in parts
                if fold(column) not in part.types
                for file in part.files
                if fold(column) not in hive_keys(file)
            ]
            if lacking:
                self.notes.append(
                    f"{len(lacking)} of {files} events files lack the column {column}, among them"
                    f" {lacking[0].removeprefix(f'{ott.home}/')}: it is missing in their rows."
                )

    def _parquet(self, files: list[str]) -> Iterator[Part]:
        """Yield files of the same columns and types, which are read together."""
        files_of_schemas: dict[str, list[str]] = defaultdict(list)
        with explained(self.named):
            for file, schema in self.connection.execute(
                "select file_name, list((name, num_children, type, converted_type::text,"
                " logical_type::text, precision, scale) order by column_id)::text"
                f" from parquet_schema({literals(files)}) group by all order by all"
            ).fetchall():
                files_of_schemas[schema + str(hive_keys(file))].append(file)
            self.rows_of_files = dict(
                self.connection.execute(
                    f"select file_name, num_rows from parquet_file_metadata({literals(files)})"
                ).fetchall()
            )
            for alike in files_of_schemas.values():
                described = self.connection.execute(
                    f"describe select * from read_parquet({literals(alike[:1])},"
                    " hive_partitioning = false)"
                ).fetchall()
                types = {fold(column): kind for column, kind, *_ in described}
                self._require_some_column(alike[0], types)
                filled = [file for file in alike if self.rows_of_files[file]]
                read = f"read_parquet({literals(filled or alike)}, {{hive}})"
                own_names = [column for column, *_ in described]
                yield Part(filled or alike, types, read, own_names, is_empty=not filled)

    def _csv(self, files: list[str]) -> Iterator[Part]:
        """Yield files of the same first line and form. All their columns are text."""
        files_of_headers: dict[tuple, list[str]] = defaultdict(list)
        self.csv_forms = {}
        wanted = [*self.wanted.names, *self.spoken_of]
        for file in files:
            form = CsvForm(file, self.connection, wanted, self.form)
            self.csv_forms[file] = form
            if form.is_empty and len(self.all_files) > 1:
                self.notes.append(f"{file.removeprefix(f'{ott.home}/')} is empty; it is not read.")
                continue
            header = tuple(fold(column.strip()) for column in form.header)
            require_once(file, header, [*map(fold, self.wanted.names)])
            self._require_some_column(file, header)
            files_of_headers[header, form.options, str(hive_keys(file))].append(file)
        if not files_of_headers:
            raise unusable(self.named, "is empty. There are no events to read.")
        for (header, options, _), alike in files_of_headers.items():
            # Others may have no name, or one twice.
            named = [
                column if column and header.count(column) == 1 else f"column {number}, not read"
                for number, column in enumerate(header)
            ]
            yield Part(
                alike,
                dict.fromkeys(named, "VARCHAR"),
                f"read_csv({literals(alike)}, {options}, {{hive}}, columns = {as_varchar(named)})",
                [column.strip() for column in self.csv_forms[alike[0]].header],
            )

    def _json(self, files: list[str]) -> Iterator[Part]:
        """Yield all files: keys of their objects as text, and those with keys within as they are.

        A key that is nowhere in the first objects is looked for in all of them.
        """
        has_depth = bool(self.spoken_of) or any("." in column for column in self.wanted.names)
        has_depth |= self.wanted.everything
        kinds = {} if has_depth else self._json_kinds(files, sample=20_480)
        if has_depth or not kinds.keys() >= {*self.wanted.names}:
            kinds = self._json_kinds(files, sample=-1)
        if [*kinds] == ["json"]:
            raise unusable(self.named, "holds no JSON objects with keys, or none yet.")
        roots = {*self.spoken_of, *(column.partition(".")[0] for column in self.wanted.names)}
        # Keys differ by case, too.
        types = {
            column: "VARCHAR" if column in self.wanted.names else GUESSED_TYPES.sub("VARCHAR", kind)
            for column, kind in kinds.items()
            if self.wanted.everything or column in self.wanted.names or column in roots
        }
        if not types:
            raise unusable(self.named, lacks(self.wanted.names, [*kinds]))
        if missing := [
            column
            for column in self.wanted.names
            if column not in kinds and column.partition(".")[0] not in kinds
        ]:
            keys = {key for file in files for key in hive_keys(file)}
            if missing := [column for column in missing if column not in keys]:
                raise unusable(self.named, lacks(missing, [*kinds]))
        columns = ", ".join(f"{name(column)}: {text(kind)}" for column, kind in types.items())
        yield Part(
            files,
            {fold(column): kind for column, kind in types.items()},
            f"read_json({literals(files)}, {{hive}}, columns = {{{columns}}})",
            [*types],
        )

    def _json_kinds(self, files: list[str], sample: int) -> dict[str, str]:
        with explained(self.named):
            described = self.connection.execute(
                f"describe select * from read_json_auto({literals(files)}, sample_size = {sample},"
                f" maximum_sample_files = {len(files) if sample < 0 else 32},"
                " map_inference_threshold = -1, hive_partitioning = false, union_by_name = true)"
            ).fetchall()
        return {column: kind for column, kind, *_ in described}

    def _require_some_column(self, file: str, found: Iterable[str]) -> None:
        """Raise SourceError for a file that has nothing of what is wanted."""
        wanted = [*self.wanted.names, *self.spoken_of]
        roots = {fold(part) for column in wanted for part in (column, column.partition(".")[0])}
        if wanted and not roots & {*found}:
            raise unusable(file, lacks(self.wanted.names, []))

    def count_rows(self) -> int | None:
        """Count the rows by other means than the query, and let the query read them all.

        None for text that is not on this machine or of a form that only DuckDB reads. Raises
        SourceError where a file cannot be read.
        """
        text_files = [*self.files.get("csv", []), *self.files.get("json", [])]
        rows = sum(self.rows_of_files.values()) if "parquet" in self.files else 0
        if not text_files:
            return rows
        local = [file for file in text_files if not is_remote(file)]
        counts = {}
        for file in tqdm(local, "Checking", unit="file", disable=None, leave=False):
            if file in self.files.get("json", []):
                counts[file] = count_json_rows(file)
            else:
                counts[file] = self.csv_forms[file].count_rows()
        with explained(self.named):
            read, *_ = self.connection.execute(
                f"select count(*), count(columns(*)) from {self.query}"
            ).fetchone()
        if local != text_files or None in counts.values():
            return None
        rows += sum(counts.values())
        if read != rows and len(self.all_files) > 1:
            for file in local:
                EventFiles(self.connection, file, self.wanted, self.form).count_rows()
        if read != rows:
            raise unusable(
                self.named,
                f"cannot be read safely: it holds {rows} rows, and DuckDB finds {read}. Write it"
                " anew, without line breaks in the names of columns.",
            )
        return rows


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
        self.file = file
        self.is_countable = told.keys() <= {
            "encoding",
            "quote",
            "escape",
            "nullstr",
            "header",
            "skip",
        }
        first = first_line(file, connection, told)
        if (separator := re.fullmatch("sep=(.)", first)) and not told.get("skip"):
            # Excel's own way to tell.
            delimiter = delimiter or separator[1]
            told["skip"] = 1
            first = first_line(file, connection, told)

        def names_with(mark: str) -> tuple[int, int]:
            columns = {
                fold(column.strip()) for column in next(csv.reader([first], delimiter=mark), [])
            }
            return len({*map(fold, wanted)} & columns), len(columns)

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
        if not names and not {*map(fold, wanted)} & {fold(cell.strip()) for cell in self.header}:
            require_names(file, self.header)
        options = {**CSV_FORM, "delim": self.read["delimiter"], "nullstr": NULL_TEXTS, **told}
        self.options = ", ".join(f"{key} = {option(value)}" for key, value in options.items())

    def count_rows(self) -> int | None:
        """Return how many rows follow the header, none if only DuckDB can tell."""
        if not self.is_countable:
            return None
        rows = sum(map(bool, csv_rows(self.file, **self.read)))
        return rows - self.has_header if rows else 0


def require_names(file: str, header: list[str]) -> None:
    """Raise SourceError when the first line of a CSV file holds values, it seems, and no names."""
    if any(re.fullmatch(r"[-+\d][-+\d.,:TZ ]*", cell.strip()) for cell in header):
        raise unusable(
            file,
            f"has no line of names, it seems: its first line holds {len(header)} values. Name its"
            " columns in their order in the var events_format: {type: csv, header: false, names:"
            " [event_id, timestamp, ...]}.",
        )


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
    """Return the values of the first line of a CSV file, none of an empty one.

    A file that is not on this machine is read through the connection.
    """
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


def lacks(missing: list[str], found: list[str]) -> str:
    """Return what a source lacks, what it has, and what to set."""
    # What is no plain name may be a value of an event, as an address is as a key of JSON.
    shown = [column for column in found if re.fullmatch(r"[^\W\d][\w $.,\"-]*", column)]
    has = f" It has: {', '.join(shown)}." if shown else ""
    if any("(" in column for column in missing):
        has += " SQL is written {sql: ...}."
    return (
        f"lacks the column(s) {', '.join(missing)}.{has} Add them, or say in the var events_columns"
        " what they are called there, or `absent` if the platform has no such thing"
        " (`ott check-source` proposes the settings)."
    )


def find_files(
    connection: duckdb.DuckDBPyConnection, path: str, told: str | None = None
) -> dict[str, list[str]]:
    """Return the files that a path names, sorted, by their format.

    A path is a glob only if no file has that very name; of a folder, all files of known formats are
    meant. A relative one begins at the project's folder.
    """
    if is_remote(path):
        # What cannot be listed, as over https, can still be read.
        found = glob(connection, path) or [path]
    elif (ott.home / path).is_file():
        found = [str(ott.home / path)]
    elif (ott.home / path).is_dir():
        found = sorted(
            str(file)
            for file in (ott.home / path).rglob("*")
            if file.is_file() and (told or ending(file.name) in FORMATS)
        )
        kinds = {FORMATS[ending(file)] for file in found} if not told else {told}
        if len(kinds) > 1:
            raise SourceError(
                f"The folder {path}, which the var events_source names, holds files of several"
                f" formats ({', '.join(sorted(kinds))}). Name those that are events, as in"
                f" {path.rstrip('/')}/**/*.{max(kinds)}."
            )
    else:
        pattern = path if Path(path).is_absolute() else f"{escape(str(ott.home))}/{path}"
        found = [file for file in glob(connection, pattern) if Path(file).is_file()]
    # Programs leave marks beside their files: _SUCCESS, .part-00000.crc.
    marks = () if Path(path).name[:1] in "_." else ("_", ".")
    found = [file for file in found if not Path(file).name.startswith(marks or "\0")]
    if not found:
        raise SourceError(
            f"No file matches '{path}', which the var events_source names, from the project's"
            f" folder. Mend the path; {', '.join(FORMATS)} are the endings of files that are read."
        )
    files: dict[str, list[str]] = defaultdict(list)
    for file in found:
        files[file_format(file, told)].append(file)
    return files


def ending(path: str) -> str:
    """Return the ending of a path in small letters, less that of a compression."""
    path = path.lower()
    for compression in COMPRESSIONS:
        path = path.removesuffix(compression)
    return path.rpartition(".")[2]


def file_format(file: str, told: str | None = None) -> str:
    """Return `parquet`, `csv` or `json`: as told, by the ending or by how the file begins."""
    kind = told or FORMATS.get(ending(file))
    if not is_remote(file) and not file.lower().endswith(COMPRESSIONS):
        try:
            with open(file, "rb") as binary:
                begin = binary.read(4)
        except OSError as error:
            raise unusable(file, f"cannot be read: {error.strerror}.") from None
        if begin == b"PAR1" and not kind:
            return "parquet"
        if kind != "parquet" and begin in MAGIC:
            raise unusable(file, f"{MAGIC[begin]}.")
        if kind != "parquet" and begin[:2] == b"\x1f\x8b":
            raise unusable(file, f"{MAGIC[begin[:2]]}.")
    if kind not in ("parquet", "csv", "json"):
        raise unusable(
            file,
            f"ends in none of {', '.join(FORMATS)}. Say in the var events_format what it is:"
            " parquet, csv or json.",
        )
    return kind


def refuse_table_formats(files: list[str]) -> None:
    """Raise SourceError for files of a table that keeps a record of which of them count."""
    for folder in {
        parent for file in files if not is_remote(file) for parent in Path(file).parents
    }:
        for record, kind in TABLE_FORMATS.items():
            inside = folder / record
            if inside.is_dir() and (kind == "delta" or [*inside.glob("*.metadata.json")]):
                raise SourceError(
                    f"{folder} is a table of {kind.capitalize()}, whose record says which of its"
                    " files count; read as files, deleted rows would be counted. Where DuckDB's"
                    f" extension {kind} is at hand (install {kind}), set events_source:"
                    f" {{sql: \"from {kind}_scan('{folder}')\"}}."
                )


def time_of(file: str) -> tuple[float, str]:
    """Return what files are in order by: the time of their last change, and their name."""
    return (0 if is_remote(file) else Path(file).stat().st_mtime, file)


def refuse_files_of_caller(query: str) -> None:
    """Raise SourceError for a file that DuckDB would take from the folder that dbt is called in.

    All other relative paths in a query begin at the project's folder.
    """
    for path in re.findall("'([^']+)'", query) if Path.cwd() != ott.home else ():
        if not Path(path).is_absolute() and not is_remote(path) and Path(path).is_file():
            raise SourceError(
                f"The query of the var events_source names '{path}', and there is such a file in"
                f" {Path.cwd()}, where dbt is called. Call it in the project's folder, or write the"
                " whole path."
            )


def hive_keys(file: str) -> list[str]:
    """Return the keys in the folders of a file, as in region=EU/day=1/x.parquet."""
    return [
        fold(unquote(folder.partition("=")[0])) for folder in Path(file).parts[:-1] if "=" in folder
    ]


def is_remote(path: str) -> bool:
    """Whether a path is an address, as of an object store."""
    return "://" in path


def fold(column: str) -> str:
    """Return the name of a column in the letters by which DuckDB compares it."""
    return column.translate(ASCII_LOWER)


def glob(connection: duckdb.DuckDBPyConnection, pattern: str) -> list[str]:
    """Return the files that match, as DuckDB finds them, in the order of their names."""
    found = connection.execute("select file from glob(?) order by file", [pattern]).fetchall()
    return [file for (file,) in found]


def literals(files: list[str]) -> str:
    """Return files as an SQL list, with names that mean themselves where a glob could stand."""
    escaped = (file if file.startswith("http") else escape(file) for file in files)
    return f"[{', '.join(map(text, escaped))}]"


def as_varchar(columns: Iterable[str]) -> str:
    """Return columns of type text as DuckDB's readers take them."""
    return "{" + ", ".join(f"{name(column)}: 'VARCHAR'" for column in columns) + "}"


def as_text(column: str, kind: str) -> str:
    """Return the SQL of a typed column as text that says what its values say, and no more."""
    value = name(column)
    if kind == "FLOAT":
        # It tells whole numbers apart up to here only; written like this, others are no ids.
        return (
            f"case when abs({value}) < {2**24} then cast(cast({value} as double) as varchar)"
            f" else format('{{:.9e}}', {value}) end as {value}"
        )
    if kind.startswith("DECIMAL") and not kind.endswith(",0)"):
        return f"rtrim(rtrim(cast({value} as varchar), '0'), '.') as {value}"
    return f"cast({value} as varchar) as {value}"


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


def count_json_rows(file: str) -> int:
    """Return how many events a JSON file holds: objects one after the other, or in an array."""
    with opened(file) as binary:
        rows = 0
        for line in binary:
            if OBJECT_LINE.fullmatch(line) or line.strip(NO_OBJECT) == b"null":
                rows += 1
            elif line.strip(NO_OBJECT):
                break
        else:
            return rows
    with opened(file) as binary:
        return count_outer_objects(binary)


def count_outer_objects(binary: BinaryIO) -> int:
    """Return how many objects a stream of JSON holds that are in no other, null being one, too."""
    rows = depth = 0
    rest = b""
    while chunk := binary.read(1 << 20):
        chunk = rest + chunk
        while chunk[-1:] in b"nul" and (more := binary.read(1)):
            chunk += more
        rest = b""
        for token in JSON_TOKEN.finditer(chunk):
            if token["cut"] is not None:
                rest = token[0]
            elif token[0] == b"null":
                rows += depth == 0
            elif token[0] == b"{":
                rows += depth == 0
                depth += 1
            elif token[0] == b"}":
                depth -= 1
    return rows


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file on this machine as bytes without compression; raises SourceError."""
    if file.lower().endswith(COMPRESSIONS) and not file.endswith(COMPRESSIONS):
        raise unusable(
            file, "ends in capitals, by which DuckDB does not know a compressed file. Rename it."
        )
    is_gzip = file.endswith(".gz")
    try:
        # Unlike DuckDB, gzip looks at the checksum that ends a file.
        with gzip.open(file) if is_gzip else io.BufferedReader(pa.input_stream(file)) as stream:
            yield stream
    except UnicodeDecodeError:
        if file.lower().endswith(COMPRESSIONS):
            raise unusable(file, "is not UTF-8. Save it as UTF-8.") from None
        raise SourceError(
            f"{encoding_problem(Path(file))} Or tell what it is in the var events_format, as in"
            " {type: csv, encoding: latin-1}."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise unusable(
            file,
            f"cannot be read: {getattr(error, 'strerror', None) or error}."
            " If it is still being written, build again when it is whole.",
        ) from None


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what DuckDB says of files into a sentence that quotes no row of them."""
    try:
        yield
    except duckdb.Error as error:
        message = str(error)
        complaints = [ours for theirs, ours in COMPLAINTS.items() if theirs in message]
        if not complaints:
            raise SourceError(
                f"'{path}', which the var events_source names, cannot be read:"
                f" {message.splitlines()[0]}"
            ) from None
        file = re.search(
            r"^\s*file = (?P<own>.+)$|in file \"(?P<json>.+?)\"|file '(?P<parquet>.+?)'",
            message,
            re.MULTILINE | re.IGNORECASE,
        )
        line = re.search(r"(?:Line: |in line |in record/value )(\d+)", message)
        raise unusable(
            file[file.lastgroup] if file else path,
            "cannot be read: it"
            f" {complaints[0]}{f', in line {line[1]}' if line else ''}. Mend it there.",
        ) from None
