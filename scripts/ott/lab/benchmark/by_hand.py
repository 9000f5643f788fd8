"""Run by_hand.sql: `python -m ott.lab.benchmark.by_hand EVENTS DATABASE [--memory-limit 4GB]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import duckdb
import pyarrow as pa

from ott.lab.benchmark.reference import SEEDS, registry, variables

SCRIPT = Path(__file__).with_name("by_hand.sql")
# Lists of the project's registry, by the name of their table.
LISTS = {
    "rejection_reasons": "rejection_reasons",
    "summary_metrics": "headline_metrics",
    "tested_dimensions": "tested_dimensions",
}


def build(events: str, database: Path, memory_limit: str | None = None) -> None:
    """Write the schema marts into a new database file, from the Parquet files that a glob names.

    The file may not be called marts, which DuckDB could not tell from the schema. Raises
    FileExistsError if the database exists, and duckdb.Error if the script fails.
    """
    if database.exists():
        raise FileExistsError(f"{database} exists already")
    # As the project's profile has it; DuckDB's default format takes longer to write.
    with duckdb.connect(database, config={"storage_compatibility_version": "v1.4.0"}) as connection:
        if memory_limit:
            connection.execute(f"set memory_limit = {_literal(memory_limit)}")
        chosen = {name: value for name, value in variables().items() if value != {}}
        for name, value in {**chosen, "events": events, "seeds": str(SEEDS)}.items():
            connection.execute(f"set variable {name} = {_literal(value)}")
        for table, macro in LISTS.items():
            connection.register("entries", pa.Table.from_pylist(registry(macro)))
            connection.execute(f"create temp table {table} as from entries")
        connection.execute(SCRIPT.read_text(encoding="utf-8"))


def _literal(value: object) -> str:
    """Return a value as SQL; fractions as doubles, which plain literals are not."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"{value}::double" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", help="Parquet file or glob")
    parser.add_argument("database", type=Path, help="DuckDB file to make")
    parser.add_argument("--memory-limit", help="of DuckDB, such as 4GB")
    options = parser.parse_args()
    build(options.events, options.database, options.memory_limit)


if __name__ == "__main__":
    main()
