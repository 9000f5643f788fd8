"""What costs in a build, with SQL written by hand for DuckDB."""

from pathlib import Path

import duckdb

from ott.registry import DIMENSIONS, SEEDS, variables

HERE = Path(__file__).parent


def build(events: str, folder: Path, memory_limit: str | None = None) -> None:
    """Write the tables into by_hand.duckdb in a folder, from the Parquet files of a glob."""
    # As the project's profile has it.
    config = {"storage_compatibility_version": "v1.0.0"}
    config |= {"memory_limit": memory_limit} if memory_limit else {}
    with duckdb.connect(folder / "by_hand.duckdb", config=config) as connection:
        chosen = {name: value for name, value in variables().items() if value != {}}
        for name, value in {**chosen, "events": events, "seeds": str(SEEDS)}.items():
            # A bound value would make DuckDB import pandas.
            connection.execute(f"set variable {name} = {_literal(value)}")
        connection.execute((HERE / "by_hand.sql").read_text("utf-8"))
        of_a_dimension = (HERE / "by_hand_dimension.sql").read_text("utf-8")
        into = "create table member_counts as"
        for dimension, columns in DIMENSIONS.items():
            counted = "places" if {*columns} <= {"region", "regulation"} else "events"
            member, counted = " || ' / ' || ".join(columns), f"counted_{counted}"
            filled = {"dimension": dimension, "member": member, "counted": counted, "into": into}
            connection.execute(of_a_dimension.format(**filled))
            into = "insert into member_counts"


def _literal(value: object) -> str:
    """Return a value as SQL; fractions as doubles, which plain literals are not."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"{value}::double" if isinstance(value, float) else str(value)
