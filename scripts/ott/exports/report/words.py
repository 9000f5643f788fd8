"""Values of the marts as the report writes them."""

from collections.abc import Callable, Mapping
from typing import Any

from ott.catalog import Row

MISSING = "n/a"


def text(value: Any) -> str:
    """Return a name or any other value as text."""
    return MISSING if value is None else str(value)


def form(pattern: str, factor: int = 1) -> Callable[[Any], str]:
    """Return a function that writes numbers times a factor by a pattern of `str.format`."""
    return lambda value: MISSING if value is None else pattern.format(factor * value)


def named(names: Mapping[Any, str]) -> Callable[[Any], str]:
    """Return a function that writes values by their names, and those without one as text."""
    return lambda value: names.get(value, text(value))


def probability(value: float | None) -> str:
    """Return a p-value; below 0.001 the order of size is all that counts."""
    return "< 0.001" if value is not None and value < 0.001 else coefficient(value)


count = form("{:,}")
decimal = form("{:,.1f}")
coefficient = form("{:,.3f}")
percent = form("{:.1f}\u00a0%", 100)
points = form("{:+.2f}", 100)
hour = form("{:02d}:00")
yes_no = named({True: "yes", False: "no", None: "not judged"})
verdict = named(
    {
        "no_evidence": "no evidence of a difference",
        "explained_by_mix": "explained by the mix of events",
        "too_few": "too few events to tell",
        None: "not compared",
    }
)
evidence = named({"watch": "watch, not confirmed", "too_few_events": "too few events to tell"})
metric = named(
    {
        "is_violation": "violation",
        "session_duration_minutes": "duration",
        "concurrent_streams": "streams",
        "user_age": "age",
        "event_hour": "hour",
    }
)

# Heading of each column in the tables, and how its values are written; a column of a dimension that
# is missing here has the label of the dimension.
COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "status": ("Status", text),
    "member": ("Member", text),
    "data_shared": ("Data shared", text),
    "concurrent_streams": ("Streams at once", text),
    "event_hour": ("Hour (UTC)", hour),
    "event_date": ("Day (UTC)", text),
    "events": ("Events", count),
    "effective_events": ("Effective events", form("{:,.0f}")),
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
    "verdict": ("Verdict", verdict),
    "is_partial_day": ("Partial day", yes_no),
    "violation_rate_7_days": ("Seven-day rate", percent),
    "control_limit_low": ("Lower limit", percent),
    "control_limit_high": ("Upper limit", percent),
    "is_out_of_control": ("Outside limits", yes_no),
    "bin_number": ("Bin", text),
    "bin_start": ("From", form("{:,.2f}")),
    "bin_end": ("To", form("{:,.2f}")),
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
    "risk_evidence": ("Evidence", evidence),
    "metric_x": ("Metric", metric),
    "metric_y": ("And", metric),
    "pearson": ("Pearson", coefficient),
    "spearman": ("Spearman", coefficient),
    "spearman_p_value": ("p of Spearman, unadjusted", probability),
    "spearman_p_adjusted": ("p of Spearman, adjusted", probability),
    "rejection_reason": ("Reason", text),
    "description": ("Meaning", text),
    "quarantined_rows": ("Raw rows", count),
    "raw_row_share": ("Share of raw rows", percent),
    "members": ("Members", count),
    "cramers_v": ("Cramer's V", coefficient),
    "design_effect": ("Design effect", form("{:,.2f}")),
    "days": ("Whole days", count),
    "change_per_week": ("Points a week", points),
    "change_per_week_low": ("Interval from", points),
    "change_per_week_high": ("Interval to", points),
    "detectable_change": ("Points detectable", points),
}


def say(pattern: str, row: Row) -> str:
    """Return a pattern of `str.format` with the values of a row, written as in the tables."""
    written = {name: COLUMNS[name][1] if name in COLUMNS else text for name in row}
    return pattern.format(**{name: write(row[name]) for name, write in written.items()})


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
