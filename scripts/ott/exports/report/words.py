"""Values of the marts as the report writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ott.catalog import Row

VERDICTS = {
    "differs": "differs",
    "no_evidence": "no evidence of a difference",
    "too_few": "too few events to tell",
    None: "not compared",
}
EVIDENCE = {
    "confirmed": "confirmed",
    "watch": "watch, not confirmed",
    "typical": "typical",
    "too_few_events": "too few events to tell",
}
METRICS = {
    "is_violation": "violation",
    "session_duration_minutes": "duration",
    "concurrent_streams": "streams",
    "user_age": "age",
    "event_hour": "hour",
}
MISSING = "n/a"


def text(value: Any) -> str:
    """Return a name or any other value as text."""
    return MISSING if value is None else str(value)


def count(value: int | None) -> str:
    """Return a number of things with separators for thousands."""
    return MISSING if value is None else f"{value:,}"


def decimal(value: float | None, digits: int = 1) -> str:
    """Return a number with that many digits after the point."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """Return a fraction as percent."""
    return MISSING if value is None else f"{100 * value:.1f}\u00a0%"


def points(value: float | None) -> str:
    """Return a difference of fractions as percentage points with its sign."""
    return MISSING if value is None else f"{100 * value:+.2f}"


def probability(value: float | None) -> str:
    """Return a p-value; below 0.001 the order of size is all that counts."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def yes_no(value: bool | None) -> str:
    """Return a truth value as a word."""
    return {True: "yes", False: "no", None: "not judged"}[value]


def moment(value: datetime | None) -> str:
    """Return a moment in UTC to the minute."""
    return MISSING if value is None else f"{value:%Y-%m-%d %H:%M}"


def hour(value: int) -> str:
    """Return an hour of the day as the time at which it begins."""
    return f"{value:02d}:00"


# Heading of each column in the tables, and how its values are written.
COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "status": ("Status", text),
    "region": ("Region", text),
    "regulation": ("Regulation", text),
    "event_type": ("Event type", text),
    "data_shared": ("Data shared", text),
    "concurrent_streams": ("Streams at once", text),
    "event_hour": ("Hour (UTC)", hour),
    "event_date": ("Day (UTC)", text),
    "risk_tier": ("Risk tier", text),
    "events": ("Events", count),
    "compliant_events": ("Compliant", count),
    "warning_events": ("Warnings", count),
    "violation_events": ("Violations", count),
    "users": ("Users", count),
    "event_share": ("Share of events", percent),
    "compliant_rate": ("Compliant share", percent),
    "warning_rate": ("Warning share", percent),
    "violation_rate": ("Violation rate", percent),
    "violation_rate_low": ("Interval from", percent),
    "violation_rate_high": ("Interval to", percent),
    "rate_difference": ("Points from the rest", points),
    "detectable_difference": ("Points detectable", points),
    "p_value": ("p, unadjusted", probability),
    "p_adjusted": ("p, adjusted", probability),
    "verdict": ("Verdict", VERDICTS.__getitem__),
    "is_partial_day": ("Partial day", yes_no),
    "violation_rate_7_days": ("Seven-day rate", percent),
    "control_limit_low": ("Lower limit", percent),
    "control_limit_high": ("Upper limit", percent),
    "is_out_of_control": ("Outside limits", yes_no),
    "bin_number": ("Bin", text),
    "bin_start": ("From", lambda value: decimal(value, 2)),
    "bin_end": ("To", lambda value: decimal(value, 2)),
    "frequency": ("Number", count),
    "mean_minutes": ("Mean (min)", decimal),
    "stddev_minutes": ("Standard deviation", decimal),
    "min_minutes": ("Minimum", decimal),
    "p25_minutes": ("25 %", decimal),
    "median_minutes": ("Median", decimal),
    "p75_minutes": ("75 %", decimal),
    "max_minutes": ("Maximum", decimal),
    "risk_rank": ("Rank", text),
    "user_id": ("User", text),
    "user_age": ("Age", text),
    "average_session_duration_minutes": ("Mean duration (min)", decimal),
    "shrunk_violation_rate": ("Rate, shrunk", percent),
    "risk_evidence": ("Evidence", lambda value: EVIDENCE.get(value, text(value))),
    "first_event_at": ("First event (UTC)", moment),
    "last_event_at": ("Last event (UTC)", moment),
    "metric_x": ("Metric", lambda value: METRICS.get(value, text(value))),
    "metric_y": ("And", lambda value: METRICS.get(value, text(value))),
    "pearson": ("Pearson", lambda value: decimal(value, 3)),
    "spearman": ("Spearman", lambda value: decimal(value, 3)),
    "spearman_p_value": ("p of Spearman", probability),
    "rejection_reason": ("Reason", text),
    "description": ("Meaning", text),
    "quarantined_rows": ("Raw rows", count),
    "raw_row_share": ("Share of raw rows", percent),
    "dimension": ("Dimension", text),
    "members": ("Members", count),
    "cramers_v": ("Cramer's V", lambda value: decimal(value, 3)),
    "design_effect": ("Design effect", lambda value: decimal(value, 2)),
    "days": ("Whole days", count),
    "change_per_week": ("Points a week", points),
    "change_per_week_low": ("Interval from", points),
    "change_per_week_high": ("Interval to", points),
    "detectable_change": ("Points detectable", points),
}


def summary_value(row: Row) -> str:
    """Return the value of a row of `compliance_summary` in its unit."""
    value, unit = row["value_number"], row["unit"]
    if value is None:
        return text(row["value_text"]).replace(",", ", ")
    if row["metric"] == "full_minus_none_sharing_rate":
        return f"{points(value)} percentage points"
    if unit == "fraction":
        return percent(value)
    if unit.startswith("hour"):
        return hour(int(value))
    return f"{count(int(value)) if value.is_integer() else decimal(value)} {unit}"
