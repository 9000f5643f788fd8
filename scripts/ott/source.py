"""Files of events: what is wrong with them, the query that reads them, and how many rows they hold.

Macros call it through the SQL functions that `plugin.py` registers. No sentence of it holds
a value of a row, which may be personal.
"""

import csv
import gzip
import io
import re
import string
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
from tqdm import tqdm

import ott
from ott import OttError
from ott.files import encoding_problem
from ott.releases import name, text

# Formats by the ending of a path, less that of a compression.
FORMATS = {"parquet": "parquet", "csv": "csv", "json": "json", "jsonl": "json", "ndjson": "json"}
COMPRESSIONS = (".gz", ".zst")
# DuckDB must not guess the form of a CSV file: where a row has a value too many, it takes the rows
# before it for a preface, and it takes `#` for a comment; the rows are lost without a word.
CSV_FORM = "auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"'"
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
}


class SourceError(OttError):
    """A sentence for the user: what is wrong with the files of events and what to do."""


def unusable(file: str, problem: str) -> SourceError:
    """Return an error that names a file as people do, and what is wrong with it."""
    return SourceError(f"The events file {file.removeprefix(f'{ott.home}/')} {problem}")


def file_format(path: str) -> str:
    """Return `parquet`, `csv` or `json`, by the ending of a path; raises SourceError for others."""
    ending = str(path).lower()
    for compression in COMPRESSIONS:
        ending = ending.removesuffix(compression)
    ending = ending.rpartition(".")[2]
    if ending not in FORMATS:
        raise SourceError(
            f"The var events_source is '{path}'. It must be `seed`, a path or glob of files that"
            " end in .parquet, .csv, .json, .jsonl or .ndjson (data/events/*.parquet), or a mapping"
            " with database, schema and table."
        )
    return FORMATS[ending]


class EventFiles:
    """The files that a path or glob names, as they are when this is made.

    `columns` are the names in the files of the columns to be read. Raises SourceError when there is
    no file, or one lacks a column; reads no rows before `count_rows`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, path: str, columns: list[str]
    ) -> None:
        """Find the files, and make the query for their columns: Parquet by type, others as text."""
        self.format = file_format(path)
        self.path = path
        self.columns = columns
        self.files = find_files(connection, path, self.format)
        self.named = self.files[0] if len(self.files) == 1 else path
        make_query = {"parquet": self._parquet, "csv": self._csv, "json": self._json}
        self.query = make_query[self.format](connection)

    def _parquet(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Return a query in which each file counts by its own types.

        Files of the same columns and types are read together. A column of several types is read as
        text, since the type that DuckDB would choose for all of them changes values: whole numbers
        beside floats, dates beside moments, true beside numbers.
        """
        files_of_schemas, types_of_files = {}, {}
        with explained(self.path):
            for file, schema in connection.execute(
                "select file_name, list((name, num_children, type, converted_type::text,"
                " logical_type::text, precision, scale) order by column_id)::text"
                f" from parquet_schema({literals(self.files)}) group by all order by all"
            ).fetchall():
                files_of_schemas.setdefault(schema, []).append(file)
            self.rows_of_files = dict(
                connection.execute(
                    f"select file_name, num_rows from parquet_file_metadata({literals(self.files)})"
                ).fetchall()
            )
            for files in files_of_schemas.values():
                described = connection.execute(
                    f"describe select * from {parquet(files[:1])}"
                ).fetchall()
                types = {fold(column): kind for column, kind, *_ in described}
                require_columns(files[0], list(types), [*map(fold, self.columns)])
                # A file without rows has types, but nothing that is of them.
                if filled := tuple(file for file in files if self.rows_of_files[file]):
                    types_of_files[filled] = [types[fold(column)] for column in self.columns]
        if not types_of_files:
            return parquet(self.files[:1])
        is_mixed = [
            len(set(types)) > 1 and not INTEGERS.issuperset(types)
            for types in zip(*types_of_files.values(), strict=True)
        ]
        return union(
            [
                as_text(column, kind) if mixed else name(column)
                for column, kind, mixed in zip(self.columns, types, is_mixed, strict=True)
            ]
            + [f"from {parquet(files)}"]
            for files, types in types_of_files.items()
        )

    def _csv(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Return a query for the columns that the first line of each file names, as text."""
        files_of_headers = {}
        for file in self.files:
            header = [*map(fold, first_row(file, connection))]
            require_header(file, header, [*map(fold, self.columns)])
            files_of_headers.setdefault(tuple(header), []).append(file)
        wanted = {fold(column): column for column in self.columns}
        # Others may have no name, or one twice.
        names_of_headers = {
            header: [
                wanted.get(column, f"column {number}, which is not read")
                for number, column in enumerate(header)
            ]
            for header in files_of_headers
        }
        return union(
            [*map(name, self.columns), read_csv(files, names_of_headers[header])]
            for header, files in files_of_headers.items()
        )

    def _json(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Return a query for keys of JSON objects as text, null where they are missing."""
        with explained(self.path):
            described = connection.execute(
                f"describe select * from read_json_auto({literals(self.files)})"
            ).fetchall()
        found = [column for column, *_ in described]
        if found == ["json"]:
            raise unusable(self.named, "holds no JSON objects with keys, or none yet.")
        # Keys differ by case, too.
        require_columns(self.named, found, self.columns)
        return (
            f"read_json({literals(self.files)}, hive_partitioning = false,"
            f" columns = {as_varchar(self.columns)})"
        )

    def count_rows(self, connection: duckdb.DuckDBPyConnection) -> int | None:
        """Count the rows by other means than the query, and let the query read them all.

        None for text that is not on this machine. Raises SourceError where a file cannot be read.
        """
        if self.format == "parquet":
            return sum(self.rows_of_files.values())
        count = count_csv_rows if self.format == "csv" else count_json_rows
        local = [file for file in self.files if not is_remote(file)]
        rows = sum(
            count(file) for file in tqdm(local, "Checking", unit="file", disable=None, leave=False)
        )
        with explained(self.path):
            counted = ", ".join(f"count({name(column)})" for column in self.columns)
            read, *_ = connection.execute(
                f"select count(*), {counted} from {self.query}"
            ).fetchone()
        if local != self.files:
            return None
        if read != rows and len(local) > 1:
            for file in local:
                EventFiles(connection, file, self.columns).count_rows(connection)
        if read != rows:
            raise unusable(
                self.named,
                f"cannot be read safely: it holds {rows} rows, and DuckDB finds {read}. Write it"
                " anew, without line breaks in the names of columns.",
            )
        return rows


def count_seed(file: str, columns: list[str]) -> int:
    """Return how many rows the seed of the events holds; raises SourceError if it is unusable.

    dbt loads one with a wrong delimiter or without rows as if nothing were amiss, and reports an
    empty one as a StopIteration. Its columns are named exactly like `columns`.
    """
    require_header(file, first_row(file), columns)
    rows = count_csv_rows(file)
    if not rows:
        raise unusable(file, "has a header but no rows. Add events below it.")
    return rows


def require_header(file: str, header: list[str], columns: list[str]) -> None:
    """Raise SourceError unless the first line of a CSV file names each of the columns once."""
    if not any(header):
        raise unusable(file, f"is empty. Its first line must name the columns: {','.join(columns)}")
    others = [mark for mark in ";\t|" if mark in "".join(header)]
    if others and not set(columns).issubset(header):
        raise unusable(
            file,
            f"is not separated by commas but by {others[0]!r}, it seems."
            " Save it as CSV with commas.",
        )
    require_columns(file, header, columns)
    for column in columns:
        if header.count(column) > 1:
            raise unusable(
                file, f"names the column {column} twice in its first line. Rename or remove one."
            )


def require_columns(file: str, found: list[str], columns: list[str]) -> None:
    """Raise SourceError when a file lacks one of the columns."""
    if missing := [column for column in columns if column not in found]:
        # What has no name in common may hold values of events, which are not to be shown.
        has = "" if missing == columns else f" It has: {', '.join(found)}."
        raise unusable(
            file,
            f"lacks the column(s) {', '.join(missing)}.{has} Add them, or say in the var"
            " events_columns what they are called there.",
        )


def find_files(connection: duckdb.DuckDBPyConnection, path: str, kind: str) -> list[str]:
    """Return the files that a path names, sorted; as a glob only if none has that very name.

    A relative path begins at the project's folder.
    """
    if is_remote(path):
        # What cannot be listed, as over https, can still be read.
        return glob(connection, path) or [path]
    if (ott.home / path).is_file():
        return [str(ott.home / path)]
    pattern = path if Path(path).is_absolute() else f"{escape(str(ott.home))}/{path}"
    found = glob(connection, pattern)
    if not found:
        raise SourceError(
            f"No file matches '{path}', which the var events_source names, from the project's"
            f" folder. Mend the path; to read all files of a folder, end it in /*.{kind}."
        )
    return found


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


def parquet(files: list[str]) -> str:
    """Return the table function for Parquet files of the same columns and types."""
    return f"read_parquet({literals(files)}, hive_partitioning = false)"


def read_csv(files: list[str], columns: Iterable[str]) -> str:
    """Return the from clause for CSV files of the same columns."""
    return (
        f"from read_csv({literals(files)}, {CSV_FORM}, hive_partitioning = false,"
        f" columns = {as_varchar(columns)})"
    )


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


def union(queries: Iterable[list[str]]) -> str:
    """Return selects of columns, the last of each being its from clause, as one subquery."""
    selects = (f"select {', '.join(columns)} {source}" for *columns, source in queries)
    return f"({' union all '.join(selects)})"


def first_row(file: str, connection: duckdb.DuckDBPyConnection | None = None) -> list[str]:
    """Return the values of the first line of a CSV file, none of an empty one.

    A file that is not on this machine is read through the connection.
    """
    if not is_remote(file):
        rows = csv_rows(file)
        first = next(rows, [])
        if not first and any(rows):
            # DuckDB would take it for the one that names the columns.
            raise unusable(file, "begins with an empty line. Remove it.")
        return first
    with explained(file):
        # As one value; of the lines below, only their ends must be found.
        lines = connection.execute(
            f"select line from read_csv({literals([file])}, auto_detect = false, header = false,"
            " delim = '\x01', quote = '', escape = '', strict_mode = false,"
            " columns = {line: 'VARCHAR'}) limit 1"
        ).fetchall()
    return next(csv.reader([lines[0][0].removeprefix("\ufeff")])) if lines else []


def count_csv_rows(file: str) -> int:
    """Return how many rows follow the first line of a CSV file."""
    return sum(map(bool, csv_rows(file))) - 1


def csv_rows(file: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, empty lines as empty rows.

    Raises SourceError at the first that has another number of values than the one above all.
    """
    csv.field_size_limit(sys.maxsize)
    width = None
    with opened(file) as binary:
        reader = csv.reader(io.TextIOWrapper(binary, "utf-8-sig", newline=""), strict=True)
        try:
            for row in reader:
                width = width or len(row)
                if row and len(row) != width:
                    raise unusable(
                        file,
                        f"cannot be read: line {reader.line_num} has"
                        f" {len(row)} values, and the first line names {width} columns. Mend it"
                        " there; values that hold commas stand in double quotes.",
                    )
                yield row
        except csv.Error:
            raise unusable(
                file,
                f"cannot be read: a quote is not closed, or text follows a"
                f" closing one, in the row that ends in line {reader.line_num}. Mend it there;"
                " quotes within values are doubled.",
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
        raise SourceError(encoding_problem(Path(file))) from None
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
        file = re.search(r"^\s*file = (.+)$|in file \"(.+?)\"", message, re.MULTILINE)
        line = re.search(r"(?:Line: |in line |in record/value )(\d+)", message)
        raise unusable(
            file[1] or file[2] if file else path,
            "cannot be read: it"
            f" {complaints[0]}{f', in line {line[1]}' if line else ''}. Mend it there.",
        ) from None
