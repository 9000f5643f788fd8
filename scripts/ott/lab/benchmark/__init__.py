"""The benchmark: its inputs, the engines, and the figures by other means."""

from datetime import datetime

from ott.registry import registry, variables


def limits() -> dict[str, tuple]:
    """Return the least and the greatest possible value of columns; times are in UTC."""
    told = variables()
    times = (told["earliest_timestamp"], told["latest_timestamp"])
    return {
        "timestamp": tuple(map(datetime.fromisoformat, times)),
        "user_age": (told["minimum_user_age"], told["maximum_user_age"]),
        # nan is beyond them, too.
        "session_duration_minutes": (0.0, float(told["maximum_session_duration_minutes"])),
        "concurrent_streams": (0, told["maximum_concurrent_streams"]),
    }


def age_bands() -> tuple[list[int], list[str]]:
    """Return the ages at which bands of ages begin, and the names of one more."""
    return variables()["age_band_starts"], [band["age_band"] for band in registry("age_bands")]
