"""What the report shows, in which order: its sections, and its charts with their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ott.catalog import Row
from ott.exports.report import drawing


@dataclass(frozen=True)
class Section:
    """A part of the page; `dimensions` are those whose verdict it opens with."""

    key: str
    title: str
    text: str = ""
    dimensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A chart with the table behind it; both read the same rows of one table of the marts.

    `control` names the means of the page to filter it, `drawn` picks the rows that are drawn, and
    `empty` stands in its place when there are none. Without `draw` the table stands alone.
    """

    key: str
    section: str
    title: str
    table: str
    columns: tuple[str, ...]
    draw: drawing.Draw | None
    note: str
    control: str = ""
    drawn: Callable[[Row], bool] = bool
    empty: str = "There are no events to draw."
    wide: bool = False


SECTIONS = (
    Section("status", "Compliance status"),
    Section("regions", "Regions", dimensions=("region",)),
    Section("regulations", "Regulations", dimensions=("regulation", "region_and_regulation")),
    Section("events", "Event types and sessions", dimensions=("event_type", "concurrent_streams")),
    Section("time", "Time", "All times are UTC.", dimensions=("event_hour", "event_date")),
    Section(
        "users",
        "Users",
        "A risk tier sorts users by their observed rate alone, so one violation in one event is "
        "already high. Only a user marked as confirmed has more violations than chance explains.",
    ),
    Section("sharing", "Data sharing", dimensions=("data_shared",)),
    Section("correlations", "Correlations"),
    Section("evidence", "All tests of the violation rate"),
    Section("quality", "Input quality"),
)

# The columns of the tables behind charts of shares and of violation rates.
SHARES = ("compliant_rate", "warning_rate", "violation_rate")
RATE = (
    *("events", "violation_events", "violation_rate", "violation_rate_low", "violation_rate_high"),
    *("rate_difference", "detectable_difference", "p_adjusted", "verdict"),
)
STATUS_COUNTS = ("compliant_events", "warning_events", "violation_events")

RATE_NOTE = "Bars are intervals, the dashed line is the rate of all events."
SHARE_NOTE = "Beside each name: compliant, warning, violation. Choose statuses to compare them."
CHARTS = (
    Chart(
        *("status", "status", "Events by status", "compliance_by_status"),
        ("status", "events", "event_share", "users"),
        drawing.statuses,
        "Every accepted event has exactly one status.",
        control="statuses",
    ),
    Chart(
        *("region-rate", "regions", "Violation rate by region", "compliance_by_region"),
        ("region", *RATE),
        drawing.rates("region"),
        RATE_NOTE,
    ),
    Chart(
        *("region-share", "regions", "Status shares by region", "compliance_by_region"),
        ("region", "events", *SHARES),
        drawing.stacked("region", "rate"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("region-events", "regions", "Events by region", "compliance_by_region"),
        ("region", "events", "event_share", "users"),
        drawing.bars("region", "events", "event_share", "events"),
        "Number of events and their share of all events.",
    ),
    Chart(
        *("regulation-rate", "regulations", "Violation rate by regulation"),
        "compliance_by_regulation",
        ("regulation", *RATE),
        drawing.rates("regulation"),
        RATE_NOTE,
    ),
    Chart(
        *("regulation-events", "regulations", "Events by regulation and status"),
        "compliance_by_regulation",
        ("regulation", "events", *STATUS_COUNTS),
        drawing.stacked("regulation", "events"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("region-regulation", "regulations", "Violation rate by region and regulation"),
        "compliance_by_region_and_regulation",
        ("region", "regulation", *RATE),
        drawing.region_by_regulation,
        "Only cells in the colour of violations, marked ▲ or ▼, differ from the rest. Grey cells "
        "show no evidence of a difference, however dark; in those marked \u201ctoo few\u201d "
        "nobody could tell.",
    ),
    Chart(
        *("regulation-within-region", "regulations", "Violation rate within one region"),
        "compliance_by_region_and_regulation",
        ("region", "regulation", *RATE),
        drawing.rates_within_region,
        f"{RATE_NOTE} The axis is the same for every region.",
        control="region",
    ),
    Chart(
        *("event-type-rate", "events", "Violation rate by event type", "compliance_by_event_type"),
        ("event_type", *RATE),
        drawing.rates("event_type"),
        RATE_NOTE,
    ),
    Chart(
        *("event-type-share", "events", "Status shares by event type", "compliance_by_event_type"),
        ("event_type", "events", *SHARES),
        drawing.stacked("event_type", "rate"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("event-type-events", "events", "Events by type", "compliance_by_event_type"),
        ("event_type", "events", "event_share", "users"),
        drawing.bars("event_type", "events", "event_share", "events"),
        "Number of events and their share of all events.",
    ),
    Chart(
        *("streams-events", "events", "Events by concurrent streams"),
        "compliance_by_concurrent_streams",
        ("concurrent_streams", "events", "event_share", "users"),
        drawing.bars("concurrent_streams", "events", "event_share", "events"),
        "How many streams ran at once.",
    ),
    Chart(
        *("streams-rate", "events", "Violation rate by concurrent streams"),
        "compliance_by_concurrent_streams",
        ("concurrent_streams", *RATE),
        drawing.rates("concurrent_streams"),
        RATE_NOTE,
    ),
    Chart(
        *("duration", "events", "Session duration", "session_duration_histogram"),
        ("bin_number", "bin_start", "bin_end", "frequency"),
        drawing.histogram("Session duration (minutes)", "Events", mean=True),
        "Events by the duration of their session; a session with many events counts as often.",
        drawn=lambda row: row["bin_start"] is not None,
    ),
    Chart(
        *("duration-statistics", "events", "Session duration in figures"),
        "session_duration_statistics",
        (
            *("mean_minutes", "median_minutes", "stddev_minutes", "min_minutes", "p25_minutes"),
            *("p75_minutes", "max_minutes", "events"),
        ),
        drawing.duration_box,
        "Box: the middle half. Thick line: median. Diamond: mean. Thin line: minimum to maximum.",
        drawn=lambda row: row["mean_minutes"] is not None,
    ),
    Chart(
        *("hour-events", "time", "Events by hour of the day", "compliance_by_hour"),
        ("event_hour", "events", "event_share", "users"),
        drawing.events_by_hour,
        "All days together.",
    ),
    Chart(
        *("hour-rate", "time", "Violation rate by hour of the day", "compliance_by_hour"),
        ("event_hour", *RATE),
        drawing.rates_by_hour,
        RATE_NOTE,
    ),
    Chart(
        *("day-events", "time", "Events by day", "compliance_by_date"),
        ("event_date", "events", *STATUS_COUNTS, "users", "is_partial_day"),
        drawing.events_by_day,
        "Hatched days are partial: the data begins or ends inside them. Drag over the chart, or "
        "set the dates, to look closer at some days.",
        control="days",
        wide=True,
    ),
    Chart(
        *("day-rate", "time", "Violation rate by day", "compliance_by_date"),
        (
            *("event_date", "events", "violation_rate", "control_limit_low", "control_limit_high"),
            *("is_out_of_control", "violation_rate_7_days", "is_partial_day", "verdict"),
        ),
        drawing.rates_by_day,
        "Band: control limits, wider on days with fewer events; a point inside it is noise. Solid "
        "line: the last seven days together. Dashed line: all judged days. Partial days are "
        "squares and are not judged.",
        wide=True,
    ),
    Chart(
        *("risk-tier", "users", "Users by risk tier", "compliance_by_user_risk_tier"),
        ("risk_tier", "users", "events", "violation_events", "violation_rate"),
        drawing.bars("risk_tier", "users", "", "users"),
        "By observed violation rate; a label, not evidence.",
    ),
    Chart(
        *("user-rate", "users", "Users by violation rate", "user_violation_rate_histogram"),
        ("bin_number", "bin_start", "bin_end", "frequency"),
        drawing.histogram("Violation rate of the user", "Users", rare=True),
        "Users with few events can only have a few rates, hence the gaps. The upright axis is "
        "logarithmic, so that rare rates can be seen.",
        drawn=lambda row: row["bin_start"] is not None,
    ),
    Chart(
        *("user-age", "users", "Users by age", "user_age_histogram"),
        ("bin_number", "bin_start", "bin_end", "frequency"),
        drawing.histogram("Age at the first event (years)", "Users"),
        "Each user once, at the age of the first event.",
        drawn=lambda row: row["bin_start"] is not None,
    ),
    Chart(
        *("users", "users", "Session duration, violation rate and age", "dim_users"),
        (
            *("user_id", "events", "violation_events", "violation_rate"),
            *("average_session_duration_minutes", "user_age", "risk_evidence"),
        ),
        drawing.users,
        "Each mark is a user; the larger, the more events. Diamonds with thick rims are confirmed.",
        empty="This release does not publish single users.",
        wide=True,
    ),
    Chart(
        *("top-users", "users", "Users with the strongest evidence", "top_risk_users"),
        (
            *("risk_rank", "user_id", "risk_evidence", "events", "violation_events"),
            *("violation_rate", "shrunk_violation_rate", "p_value", "p_adjusted", "user_age"),
        ),
        None,
        "Somebody is first on any data: only \u201cconfirmed\u201d means more violations than "
        "chance explains. The shrunk rate is the better guess of what the user does in future.",
        empty="This release does not publish single users.",
        wide=True,
    ),
    Chart(
        *("sharing-rate", "sharing", "Violation rate by data sharing"),
        "compliance_by_data_sharing",
        ("data_shared", *RATE),
        drawing.rates("data_shared"),
        RATE_NOTE,
    ),
    Chart(
        *("sharing-share", "sharing", "Status shares by data sharing"),
        "compliance_by_data_sharing",
        ("data_shared", "events", *SHARES),
        drawing.stacked("data_shared", "rate"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("sharing-events", "sharing", "Events by data sharing", "compliance_by_data_sharing"),
        ("data_shared", "events", "event_share", "users"),
        drawing.bars("data_shared", "events", "event_share", "events"),
        "Number of events and their share of all events.",
    ),
    Chart(
        *("correlations", "correlations", "Correlation of pairs of metrics"),
        "metric_correlations",
        (
            *("metric_x", "metric_y", "events", "pearson", "p_value", "spearman"),
            "spearman_p_value",
        ),
        drawing.correlations,
        "Pearson's coefficient, from -1 to 1, and its p-value. The p-values are not adjusted: of "
        "pairs that have nothing to do with each other, one in 20 falls below 0.05.",
        drawn=lambda row: row["pearson"] is not None,
        wide=True,
    ),
    Chart(
        *("associations", "evidence", "Does the violation rate differ at all?"),
        "violation_associations",
        (
            *("dimension", "verdict", "p_adjusted", "p_value", "cramers_v", "members"),
            "design_effect",
        ),
        None,
        "One chi-square test a dimension. The design effect says how much events of the same user "
        "resemble each other; the adjusted p-value allows for it and for the number of dimensions.",
        wide=True,
    ),
    Chart(
        *("trend", "evidence", "Does the violation rate change with time?", "violation_trend"),
        (
            *("days", "change_per_week", "change_per_week_low", "change_per_week_high"),
            *("detectable_change", "p_adjusted", "verdict"),
        ),
        None,
        "Linear trend over the whole days, in percentage points a week.",
        wide=True,
    ),
    Chart(
        *("quarantine", "quality", "Rejected raw rows by reason"),
        "quarantine_by_rejection_reason",
        ("rejection_reason", "quarantined_rows", "raw_row_share", "description"),
        drawing.bars("rejection_reason", "quarantined_rows", "raw_row_share", "rows", limit=0.62),
        "A row can have several reasons. The table lists those that never occurred as well.",
        drawn=lambda row: row["quarantined_rows"] > 0,
        empty="No raw row was rejected.",
        wide=True,
    ),
)
