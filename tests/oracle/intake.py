"""What becomes of raw rows of text: accepted events, rejected rows with their reasons, copies."""

import math
import re
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from ott.registry import BLANKS, COLUMNS, KNOWN_MEMBERS, OPTIONAL, known, registry

WHOLE_NUMBERS = ("event_id", "user_id", "user_age", "concurrent_streams")
UNREADABLE = {"timestamp": "unreadable", "session_duration_minutes": "not_a_number"}
# The lowest value, the reason below it, the highest one, the reason above it.
LIMITS = {
    "timestamp": ("earliest_timestamp", "too_early", "latest_timestamp", "in_future"),
    "user_age": ("minimum_user_age", "out_of_range", "maximum_user_age", "out_of_range"),
    "session_duration_minutes": (0, "negative", "maximum_session_duration_minutes", "too_long"),
    "concurrent_streams": (0, "negative", "maximum_concurrent_streams", "too_many"),
}


@dataclass
class Intake:
    """Accepted events with values, rejected rows as they came, and how many copies were left out.

    Rejected rows have the column `rejection_reasons`: codes joined by commas.
    """

    events: pd.DataFrame
    rejected: pd.DataFrame
    copies: int


def judge(raw: pd.DataFrame, variables: dict) -> Intake:
    """Judge raw rows; all columns are text, None where a value is missing."""
    values, reasons = {}, {}
    for column in COLUMNS:
        read = {text: read_value(column, text, variables) for text in raw[column].unique()}
        values[column] = raw[column].map(lambda text, read=read: read[text][0]).astype(object)
        reason = raw[column].map(lambda text, read=read: read[text][1])
        reasons[column] = reason.mask(reason != "", f"{column}_" + reason)
    ids = values["event_id"]
    # Values are compared, and text that is none.
    content = pd.DataFrame(values)
    is_copy = ids.notna() & content.where(content.notna(), raw).astype(str).duplicated()
    versions = ids[~is_copy & ids.notna()]
    is_conflicting = raw.index.isin(versions.index[versions.duplicated(keep=False)])
    reasons["event_id"] = reasons["event_id"].mask(is_conflicting, "event_id_conflicting")

    said = [",".join(filter(None, row)) for row in zip(*reasons.values(), strict=True)]
    said = pd.Series(said, raw.index)
    rejected = raw.assign(rejection_reasons=said)[(said != "") & ~is_copy]
    events = pd.DataFrame(values)[(said == "") & ~is_copy]
    types = {**dict.fromkeys(WHOLE_NUMBERS, "Int64"), "session_duration_minutes": float}
    events = events.astype({**types, "timestamp": "datetime64[us]"})
    events = events.rename(columns={"timestamp": "occurred_at"})
    bounds = [-math.inf, *variables["age_band_starts"], math.inf]
    bands = [band["age_band"] for band in registry("age_bands")]
    events = events.assign(
        is_violation=events["status"] == "violation",
        event_hour=events["occurred_at"].dt.hour,
        event_date=events["occurred_at"].dt.date,
        weekday=events["occurred_at"].dt.day_name(),
        age_band=pd.cut(events["user_age"].astype(float), bounds, right=False, labels=bands),
    )
    return Intake(events, rejected, int(is_copy.sum()))


def read_value(column: str, text: str | None, variables: dict) -> tuple[object, str]:
    """Return what a text says, and the reason that speaks against it, empty if none does."""
    text = (text or "").strip(BLANKS)
    if not text:
        return None, "" if column in OPTIONAL else "missing"
    if column in KNOWN_MEMBERS:
        members = {member.lower(): member for member in known(column)}
        member = members.get(text.lower())
        return member, "" if member else "unknown"
    try:
        if column in WHOLE_NUMBERS:
            value = int(text) if re.fullmatch(r"[+-]?\d+", text) else whole(column, text)
        elif column == "timestamp":
            value = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
        else:
            value = float(text)
    except ValueError:
        return None, UNREADABLE.get(column, "not_an_integer")
    if column == "session_duration_minutes" and not math.isfinite(value):
        return None, "not_finite"
    if column not in LIMITS:
        return value, ""
    lowest, below, highest, above = (variables.get(limit, limit) for limit in LIMITS[column])
    if column == "timestamp":
        lowest, highest = map(datetime.fromisoformat, (lowest, highest))
    return value, below if value < lowest else above if value > highest else ""


def whole(column: str, text: str) -> int:
    """Return a whole number with a decimal point or an exponent; raises ValueError for others.

    An id with an exponent may have lost digits.
    """
    number = float(text.replace("_", "?"))
    largest = 2**24 if column.endswith("_id") and "e" in text.lower() else 2**53
    if not number.is_integer() or abs(number) >= largest:
        raise ValueError
    return int(number)
