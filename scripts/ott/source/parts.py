"""What is wanted of a source, and what its files of one kind have of that."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import duckdb

from ott.copies import name, text
from ott.source.files import fold, hive_keys, literals
from ott.source.sentences import SourceError, explained, lacks, unusable


@dataclass
class Wanted:
    """What is to be read: columns by name or by a path of names, and those that SQL speaks of.

    `expressions` are SQL by the column of an event that it makes; with `file_order`, a column
    `ott_file_order` orders rows by the time of their file. With `everything`, all columns are.
    """

    names: list[str]
    expressions: dict[str, str] = field(default_factory=dict)
    file_order: bool = False
    everything: bool = False

    def __post_init__(self) -> None:
        """Find the names in the expressions, among them some that are no columns."""
        self.spoken_of = [name for sql in self.expressions.items() for name in names_in(*sql)]
        self.all_names = [*self.names, *self.spoken_of]

    def paths(self, types: Iterable[str]) -> list[str]:
        """Return the wanted names that are no columns but lie in one: `properties.region`."""
        return [
            path
            for path in self.names
            if fold(path) not in types and fold(path.partition(".")[0]) in types
        ]


def names_in(column: str, expression: str) -> Iterator[str]:
    """Yield the names of columns in the SQL of a column of an event; raises SourceError."""
    with duckdb.connect() as connection:
        asked = connection.execute("select json_serialize_sql(?)", [f"select {expression}"])
        parsed = json.loads(asked.fetchone()[0])
    if parsed["error"]:
        raise SourceError(
            f"The SQL of {column} in the vars cannot be read: {parsed['error_message']}"
        )
    return column_names(parsed)


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

    def select(self, columns: list[str], mixed: set[str], times: dict[str, str]) -> str:
        """Return a query for these columns, those of `mixed` types as text, and `ott_file`.

        `times` are those of the files, if rows are to be ordered by them.
        """
        values, has_keys, keys = [], False, hive_keys(self.files[0])
        for column in columns:
            folded = fold(column)
            if folded in self.types:
                kind = self.types[folded]
                values.append(as_text(column, kind) if folded in mixed else name(column))
            elif folded in keys:
                values.append(name(column))
                has_keys = True
            else:
                values.append(f"null as {name(column)}")
        values.append("ott_file")
        options = "filename = 'ott_file', hive_partitioning = "
        options += "true, hive_types_autocast = false" if has_keys else "false"
        if times:
            of_files = ", ".join(f"{text(file)}: {text(times[file])}" for file in self.files)
            values.append(f"map {{{of_files}}}[ott_file] as ott_file_order")
        selected_from = self.selected_from.replace("{options}", options)
        return f"select {', '.join(values)} from {selected_from}"


@dataclass
class Reader:
    """Reads files of one format: `parts` yields them, `count_rows` counts a second way.

    `form` is what the var events_format says of them, `named` how a sentence speaks of all files of
    the source, and `notes` are what it lacks.
    """

    files: list[str]
    connection: duckdb.DuckDBPyConnection
    wanted: Wanted
    form: dict[str, Any]
    named: str
    notes: list[str]

    def require_some_column(self, file: str, found: Iterable[str]) -> None:
        """Raise SourceError for a file that has nothing of what is wanted."""
        wanted = self.wanted.all_names
        roots = {fold(part) for column in wanted for part in (column, column.partition(".")[0])}
        if wanted and not roots & {*found}:
            raise unusable(file, lacks(self.wanted.names, []))


class ParquetReader(Reader):
    """Reads Parquet files."""

    def parts(self) -> Iterator[Part]:
        """Yield files of the same columns and types, which are read together."""

        def ask(query: str) -> list[tuple]:
            return self.connection.execute(query).fetchall()

        files = literals(self.files)
        files_of_schemas: dict[str, list[str]] = defaultdict(list)
        with explained(self.named):
            for file, schema in ask(
                "select file_name, list((name, num_children, type, converted_type::text,"
                " logical_type::text, precision, scale) order by column_id)::text"
                f" from parquet_schema({files}) group by all order by all"
            ):
                files_of_schemas[schema + str(hive_keys(file))].append(file)
            rows = ask(f"select file_name, num_rows from parquet_file_metadata({files})")
            self.rows_of_files = dict(rows)
            for alike in files_of_schemas.values():
                first = f"read_parquet({literals(alike[:1])}, hive_partitioning = false)"
                kinds = {column: kind for column, kind, *_ in ask(f"describe from {first}")}
                types = {fold(column): kind for column, kind in kinds.items()}
                self.require_some_column(alike[0], types)
                filled = [file for file in alike if self.rows_of_files[file]]
                read = f"read_parquet({literals(filled or alike)}, {{options}})"
                yield Part(filled or alike, types, read, [*kinds], is_empty=not filled)

    def count_rows(self, file: str) -> int:
        """Return what the file says of itself."""
        return self.rows_of_files[file]


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
