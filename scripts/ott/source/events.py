"""Events of a query or of files: the query for all of them, whatever form each part has."""

from collections import defaultdict
from itertools import chain
from typing import Any

import duckdb
from tqdm import tqdm

from ott.copies import name, text
from ott.source.csv_files import CsvReader
from ott.source.files import (
    find_files,
    fold,
    hive_keys,
    is_remote,
    refuse_table_formats,
    time_of,
    versions,
)
from ott.source.json_files import JsonReader
from ott.source.parts import ParquetReader, Part, Wanted
from ott.source.sentences import SourceError, explained, lacks, short, unusable

READERS = {"parquet": ParquetReader, "csv": CsvReader, "json": JsonReader}
WHOLE_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
# Types of Parquet that have one in common which holds each of them exactly.
INTEGERS = {f"{sign}{size}" for sign in ("", "U") for size in WHOLE_NUMBERS}


class Events:
    """A source of events: `query` to select from, and `notes` about what it lacks in parts.

    Once counted, `files` are those that it is read from, with `version`, `rows` and whether a file
    `is_new`, as it was never counted before.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, wanted: Wanted) -> None:
        """Take what is wanted."""
        self.connection = connection
        self.wanted = wanted
        self.notes: list[str] = []
        self.files: list[dict[str, Any]] = []

    def with_paths(self, query: str, types: dict[str, str]) -> str:
        """Return the query with a column more for each path of names, called like it."""
        paths = []
        for path in self.wanted.paths(types):
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
        if wanted.file_order:
            raise SourceError(
                "The var repeated_events says which row of an event to keep but not by what, and"
                " rows of a table or query have no file: add by: and a column, as in"
                " {keep: latest, by: updated_at}."
            )
        types = {fold(column): kind for column, kind, *_ in described}
        present = [*types, *map(fold, wanted.paths(types))]
        if missing := [column for column in wanted.names if fold(column) not in present]:
            raise SourceError(f"{named} {lacks(missing, [column for column, *_ in described])}")
        self.query = self.with_paths(query, types)

    def count_rows(self, counted: dict[tuple[str, str], int]) -> None:
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
        paths = [paths] if isinstance(paths, str) else paths
        found: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            for kind, files in find_files(connection, path, self.form.get("type")).items():
                found[kind] += files
        self.all_files = [*chain.from_iterable(found.values())]
        # Before anything is read: what changes meanwhile has another version next time.
        self.versions = versions(connection, self.all_files)
        refuse_table_formats(self.all_files)
        self.named = ", ".join(self.all_files if len(self.all_files) == 1 else map(str, paths))
        shared = (connection, wanted, self.form, self.named, self.notes)
        self.readers = [READERS[kind](files, *shared) for kind, files in found.items()]
        self.lacking: dict[str, list[str]] = {}
        self.query = self._union([part for reader in self.readers for part in reader.parts()])

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
        mixed = {column for column, of in kinds.items() if len(of) > 1 and not of <= INTEGERS}
        types = {column: max(of) for column, of in kinds.items()} | dict.fromkeys(mixed, "VARCHAR")
        own_names = {fold(column): column for part in filled for column in part.own_names}
        paths = self.wanted.paths(types)
        present = {*types, *map(fold, paths)}
        if missing := [column for column in self.wanted.names if fold(column) not in present]:
            raise unusable(self.named, lacks(missing, [own_names.get(key, key) for key in types]))
        every = (*own_names.values(), *hive) if self.wanted.everything else ()
        roots = [path.partition(".")[0] for path in paths]
        asked = (*every, *self.wanted.names, *roots, *self.wanted.spoken_of)
        by_folded = {fold(column): column for column in asked}
        columns = [column for folded, column in by_folded.items() if folded in types]
        self._find_what_is_lacking(filled, columns)
        times = {file: time_of(file) for file in self.all_files} if self.wanted.file_order else {}
        selects = [part.select(columns, mixed, times) for part in filled]
        return self.with_paths(f"({' union all '.join(selects)})", types)

    def _find_what_is_lacking(self, parts: list[Part], columns: list[str]) -> None:
        for column in columns:
            lacking = [
                file
                for part in parts
                if fold(column) not in part.types
                for file in part.files
                if fold(column) not in hive_keys(file)
            ]
            if lacking:
                self.lacking[column] = lacking

    def _note_what_is_lacking(self, rows_of_files: dict[str, int | None]) -> None:
        """Tell it, with the rows of the files where their number is known."""
        for column, files in self.lacking.items():
            counts = [rows_of_files[file] for file in files]
            rows = "rows" if None in counts else f"{sum(counts):,} rows"
            self.notes.append(
                f"{len(files)} of {len(self.all_files)} events files lack the column {column},"
                f" among them {short(files[0])}: it is missing in their {rows}."
            )

    def count_rows(self, counted: dict[tuple[str, str | None], int | None]) -> int | None:
        """Count the rows by other means than the query, and let the query read them all.

        `counted` has the rows of files by name and version; these are not read again. None for text
        that is not on this machine or of a form that only DuckDB reads. Raises SourceError where a
        file cannot be read.
        """
        known = {
            file
            for file, version in self.versions.items()
            if version and (file, version) in counted
        }
        counts = {file: counted[file, self.versions[file]] for file in known}
        unread = [(reader, f) for reader in self.readers for f in reader.files if f not in known]
        with tqdm(unread, "Checking", unit="file", disable=None, leave=False) as watched:
            counts |= {file: reader.count_rows(file) for reader, file in watched}
        self._note_what_is_lacking(counts)
        self.files = [
            {"file": file, "version": version, "rows": counts[file], "is_new": file not in known}
            for file, version in self.versions.items()
        ]
        text_files = [f for reader, f in unread if not isinstance(reader, ParquetReader)]
        if text_files:
            self._require_all_rows({file: counts[file] for file in text_files})
        return None if None in counts.values() else sum(counts.values())

    def _require_all_rows(self, counts: dict[str, int | None]) -> None:
        """Read files of text as a build does; raises SourceError when DuckDB finds other rows."""
        with explained(self.named):
            read, *_ = self.connection.execute(
                f"select count(*), count(columns(*)) from {self.query}"
                f" where ott_file in ({', '.join(map(text, counts))})"
            ).fetchone()
        if None in counts.values() or read == sum(counts.values()):
            return
        for file in counts if len(self.all_files) > 1 else ():
            if not is_remote(file):
                EventFiles(self.connection, file, self.wanted, self.form).count_rows({})
        raise unusable(
            self.named,
            f"cannot be read safely: it holds {sum(counts.values())} rows, and DuckDB finds"
            f" {read}. Write it anew, without line breaks in the names of columns.",
        )
