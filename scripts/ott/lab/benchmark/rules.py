"""Which raw values are possible, and which files are read, for with_pandas and with_polars."""

from __future__ import annotations

import glob
from datetime import datetime

from ott.registry import registry, variables


def limits() -> dict[str, tuple]:
    """Return the least and the greatest possible value of columns; times are in UTC."""
    chosen = variables()
    return {
        "timestamp": (
            datetime.fromisoformat(chosen["earliest_timestamp"]),
            datetime.fromisoformat(chosen["latest_timestamp"]),
        ),
        "user_age": (chosen["minimum_user_age"], chosen["maximum_user_age"]),
        # nan is beyond them, too.
        "session_duration_minutes": (0.0, float(chosen["maximum_session_duration_minutes"])),
        "concurrent_streams": (0, chosen["maximum_concurrent_streams"]),
    }


def age_bands() -> tuple[list[int], list[str]]:
    """Return the ages at which bands of ages begin, and the names of one more."""
    return variables()["age_band_starts"], [band["age_band"] for band in registry("age_bands")]


def files(pattern: str) -> list[str]:
    """Return the files that a path or glob names, in order; raise FileNotFoundError for none."""
    found = sorted(glob.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no file matches {pattern}")
    return found
