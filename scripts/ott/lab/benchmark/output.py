"""Writing the tables of with_pandas and with_polars: one Parquet file each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ott.lab.benchmark.findings import Row
from ott.lab.benchmark.reference import COLUMNS

QUARANTINE = pa.schema([(column, pa.string()) for column in (*COLUMNS, "rejection_reasons")])


def as_text(value: object) -> str | None:
    """Return a value as DuckDB writes it as text; None for a missing one."""
    if value is None:
        return None
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    return str(value.replace(tzinfo=None)) if isinstance(value, datetime) else str(value)


def write_quarantine(folder: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write the rejected rows: the raw columns in their order, and the reasons."""
    texts = [[as_text(value) for value in row] for row in rows]
    columns = zip(*texts, strict=True) if texts else [[] for _ in QUARANTINE]
    table = pa.table([pa.array(column, pa.string()) for column in columns], schema=QUARANTINE)
    pq.write_table(table, folder / "quarantined_compliance_events.parquet")


def write_rows(folder: Path, tables: dict[str, list[Row]]) -> None:
    """Write small tables."""
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
