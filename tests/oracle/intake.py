"""What becomes of raw rows of text: accepted events, rejected rows with their reasons, copies."""

from dataclasses import dataclass
from datetime import datetime
from math import isfinite

import pandas as pd

from ott.registry import BLANKS, COLUMNS, KNOWN_MEMBERS, UPPER_CASE, known

WHOLE_NUMBERS = ("event_id", "user_id", "user_age", "concurrent_streams")


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
        reasons[column] = raw[column].map(lambda text, read=read: read[text][1])
    ids = values["event_id"]
    is_copy = ids.notna() & raw.duplicated()
    versions = ids[~is_copy & ids.notna()]
    conflicting = versions.index[versions.duplicated(keep=False)]
    reasons["event_id"] = reasons["event_id"].mask(raw.index.isin(conflicting), "conflicting")

    said = [
        ",".join(
            f"{column}_{reason}" for column, reason in zip(COLUMNS, row, strict=True) if reason
        )
        for row in pd.DataFrame(reasons).fillna("").itertuples(index=False)
    ]
    said = pd.Series(said, raw.index)
    rejected = raw.assign(rejection_reasons=said)[(said != "") & ~is_copy]
    events = pd.DataFrame(values)[(said == "") & ~is_copy]
    return Intake(with_derived_columns(events), rejected, int(is_copy.sum()))


def read_value(column: str, text: str | None, variables: dict) -> tuple[object, str]:
    """Return what a text says, and the reason that speaks against it, empty if none does."""
    text = (text or "").strip(BLANKS)
    if not text:
        return None, "missing"
    if column in KNOWN_MEMBERS:
        member = text.upper() if column in UPPER_CASE else text.lower()
        return (member, "") if member in known(column) else (None, "unknown")
    try:
        if column in WHOLE_NUMBERS:
            value = int(text) if "_" not in text else int("no number")
        elif column == "timestamp":
            value = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
        else:
            value = float(text)
    except ValueError:
        unreadable = {"timestamp": "unreadable", "session_duration_minutes": "not_a_number"}
        return None, unreadable.get(column, "not_an_integer")
    if column == "session_duration_minutes" and not isfinite(value):
        return None, "not_finite"
    lowest, below, highest, above = {
        "timestamp": (
            datetime.fromisoformat(variables["earliest_timestamp"]),
            "too_early",
            datetime.fromisoformat(variables["latest_timestamp"]),
            "in_future",
        ),
        "user_age": (
            variables["minimum_user_age"],
            "out_of_range",
            variables["maximum_user_age"],
            "out_of_range",
        ),
        "session_duration_minutes": (
            0,
            "negative",
            variables["maximum_session_duration_minutes"],
            "too_long",
        ),
        "concurrent_streams": (1, "below_one", variables["maximum_concurrent_streams"], "too_many"),
    }.get(column, (value, "", value, ""))
    return value, below if value < lowest else above if value > highest else ""


def with_derived_columns(events: pd.DataFrame) -> pd.DataFrame:
    """Return accepted events in the columns of the fact."""
    occurred_at = events["timestamp"].astype("datetime64[us]")
    return pd.DataFrame(
        {
            "event_id": events["event_id"].astype("int64"),
            "user_id": events["user_id"].astype("int64"),
            **{column: events[column] for column in KNOWN_MEMBERS},
            "user_age": events["user_age"].astype("int64"),
            "concurrent_streams": events["concurrent_streams"].astype("int64"),
            "session_duration_minutes": events["session_duration_minutes"].astype(float),
            "is_violation": events["status"] == "violation",
            "event_hour": occurred_at.dt.hour,
            "event_date": occurred_at.dt.date,
            "occurred_at": occurred_at,
        }
    )
