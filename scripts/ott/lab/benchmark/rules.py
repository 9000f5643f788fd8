"""Which raw values are possible, for with_pandas and with_polars; and writing what they reject."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ott.registry import COLUMNS, variables

QUARANTINE = pa.schema([(column, pa.string()) for column in (*COLUMNS, "rejection_reasons")])


@dataclass(frozen=True)
class Limits:
    """Which values are possible, both ends included: moments in UTC, years, minutes, streams."""

    earliest: datetime
    latest: datetime
    minimum_age: int
    maximum_age: int
    maximum_minutes: float
    maximum_streams: int


def limits() -> Limits:
    """Return the limits that the project's variables set."""
    chosen = variables()
    return Limits(
        datetime.fromisoformat(chosen["earliest_timestamp"]),
        datetime.fromisoformat(chosen["latest_timestamp"]),
        chosen["minimum_user_age"],
        chosen["maximum_user_age"],
        float(chosen["maximum_session_duration_minutes"]),
        chosen["maximum_concurrent_streams"],
    )


def files(pattern: str) -> list[str]:
    """Return the files that a path or glob names, in order; raise FileNotFoundError for none."""
    found = sorted(glob.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no file matches {pattern}")
    return found


def write_quarantine(folder: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write the rejected rows: the raw columns in their order, and the reasons."""
    texts = [[_as_text(value) for value in row] for row in rows]
    columns = zip(*texts, strict=True) if texts else [[] for _ in QUARANTINE]
    table = pa.table([pa.array(column, pa.string()) for column in columns], schema=QUARANTINE)
    pq.write_table(table, folder / "quarantined_compliance_events.parquet")


def _as_text(value: object) -> str | None:
    """Return a value as DuckDB writes it as text; None for a missing one."""
    if value is None:
        return None
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    return str(value.replace(tzinfo=None)) if isinstance(value, datetime) else str(value)
