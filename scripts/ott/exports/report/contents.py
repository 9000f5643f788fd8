"""What the report shows, in which order: its sections, and their charts with their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ott.catalog import Row
from ott.exports.report import drawing


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart with the table behind it; both read the same rows of one table of the marts.

    `columns` are names with blanks between them. `control` names the means of the page to filter
    the chart, `drawn` picks the rows that are drawn, and `empty` stands in its place when there are
    none. Without `draw` the table stands alone.
    """

    key: str
    title: str
    table: str
    columns: str
    note: str
    draw: drawing.Draw | None = None
    control: str = ""
    drawn: Callable[[Row], bool] = bool
    empty: str = "There are no events to draw."
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page; `dimensions` are those whose verdict it opens with."""

    key: str
    title: str
    charts: tuple[Chart, ...]
    text: str = ""
    dimensions: tuple[str, ...] = ()


RATE = (
    "events violation_events violation_rate violation_rate_low violation_rate_high"
    " rate_difference detectable_difference p_adjusted verdict"
)
RATE_NOTE = "Bars are intervals, the dashed line is the rate of all events."
SHARE_NOTE = "Beside each name: compliant, warning, violation. Choose statuses to compare them."
NO_USERS = "This release does not publish single users."


def rates(key: str, name: str, table: str, member: str, **rest: Any) -> Chart:
    """Return the violation rates of the members of a dimension; `name` is what it is called."""
    return Chart(
        key=f"{key}-rate",
        title=f"Violation rate by {name}",
        table=table,
        columns=f"{member} {RATE}",
        **{"note": RATE_NOTE, "draw": drawing.rates(member)} | rest,
    )


def shares(key: str, name: str, table: str, member: str) -> Chart:
    """Return the shares of the statuses of each member of a dimension."""
    return Chart(
        key=f"{key}-share",
        title=f"Status shares by {name}",
        table=table,
        columns=f"{member} events compliant_rate warning_rate violation_rate",
        note=SHARE_NOTE,
        draw=drawing.stacked(member, "rate"),
        control="statuses",
    )


def events(key: str, name: str, table: str, member: str, **rest: Any) -> Chart:
    """Return the number of events of each member of a dimension."""
    rest.setdefault("note", "Number of events and their share of all events.")
    rest.setdefault("draw", drawing.bars(member, "events", "event_share", "events"))
    return Chart(
        key=f"{key}-events",
        title=f"Events by {name}",
        table=table,
        columns=f"{member} events event_share users",
        **rest,
    )


def histogram(key: str, title: str, table: str, note: str, draw: drawing.Draw) -> Chart:
    """Return a histogram."""
    return Chart(
        key=key,
        title=title,
        table=table,
        columns="bin_number bin_start bin_end frequency",
        note=note,
        draw=draw,
        drawn=lambda row: row["bin_start"] is not None,
    )


REGION = ("region", "region", "compliance_by_region", "region")
REGULATION = ("regulation", "regulation", "compliance_by_regulation", "regulation")
EVENT_TYPE = ("event-type", "event type", "compliance_by_event_type", "event_type")
STREAMS = (
    "streams",
    "concurrent streams",
    "compliance_by_concurrent_streams",
    "concurrent_streams",
)
HOUR = ("hour", "hour of the day", "compliance_by_hour", "event_hour")
SHARING = ("sharing", "data sharing", "compliance_by_data_sharing", "data_shared")

SECTIONS = (
    Section(
        key="status",
        title="Compliance status",
        charts=(
            Chart(
                key="status",
                title="Events by status",
                table="compliance_by_status",
                columns="status events event_share users",
                note="Every accepted event has exactly one status.",
                draw=drawing.statuses,
                control="statuses",
            ),
        ),
    ),
    Section(
        key="regions",
        title="Regions",
        dimensions=("region",),
        charts=(rates(*REGION), shares(*REGION), events(*REGION)),
    ),
    Section(
        key="regulations",
        title="Regulations",
        dimensions=("regulation", "region_and_regulation"),
        charts=(
            rates(*REGULATION),
            Chart(
                key="regulation-events",
                title="Events by regulation and status",
                table="compliance_by_regulation",
                columns="regulation events compliant_events warning_events violation_events",
                note=SHARE_NOTE,
                draw=drawing.stacked("regulation", "events"),
                control="statuses",
            ),
            Chart(
                key="region-regulation",
                title="Violation rate by region and regulation",
                table="compliance_by_region_and_regulation",
                columns=f"region regulation {RATE}",
                note="Only cells in the colour of violations, marked ▲ or ▼, differ from the rest. "
                "Grey cells show no evidence of a difference, however dark; in those marked "
                "\u201ctoo few\u201d nobody could tell.",
                draw=drawing.region_by_regulation,
            ),
            Chart(
                key="regulation-within-region",
                title="Violation rate within one region",
                table="compliance_by_region_and_regulation",
                columns=f"region regulation {RATE}",
                note=f"{RATE_NOTE} The axis is the same for every region.",
                draw=drawing.rates_within_region,
                control="region",
            ),
        ),
    ),
    Section(
        key="events",
        title="Event types and sessions",
        dimensions=("event_type", "concurrent_streams"),
        charts=(
            rates(*EVENT_TYPE),
            shares(*EVENT_TYPE),
            events("event-type", "type", *EVENT_TYPE[2:]),
            events(*STREAMS, note="How many streams ran at once."),
            rates(*STREAMS),
            histogram(
                "duration",
                "Session duration",
                "session_duration_histogram",
                "Events by the duration of their session; a session with many events counts as "
                "often.",
                drawing.histogram("Session duration (minutes)", "Events", mean=True),
            ),
            Chart(
                key="duration-statistics",
                title="Session duration in figures",
                table="session_duration_statistics",
                columns="mean_minutes median_minutes stddev_minutes min_minutes p25_minutes"
                " p75_minutes max_minutes events",
                note="Box: the middle half. Thick line: median. Diamond: mean. Thin line: minimum "
                "to maximum.",
                draw=drawing.duration_box,
                drawn=lambda row: row["mean_minutes"] is not None,
            ),
        ),
    ),
    Section(
        key="time",
        title="Time",
        text="All times are UTC.",
        dimensions=("event_hour", "event_date"),
        charts=(
            events(*HOUR, note="All days together.", draw=drawing.events_by_hour),
            rates(*HOUR, draw=drawing.rates_by_hour),
            Chart(
                key="day-events",
                title="Events by day",
                table="compliance_by_date",
                columns="event_date events compliant_events warning_events violation_events users"
                " is_partial_day",
                note="Hatched days are partial: the data begins or ends inside them. Drag over the "
                "chart, or set the dates, to look closer at some days.",
                draw=drawing.events_by_day,
                control="days",
                wide=True,
            ),
            Chart(
                key="day-rate",
                title="Violation rate by day",
                table="compliance_by_date",
                columns="event_date events violation_rate control_limit_low control_limit_high"
                " is_out_of_control violation_rate_7_days is_partial_day verdict",
                note="Band: control limits, wider on days with fewer events; a point inside it is "
                "noise. Solid line: the last seven days together. Dashed line: all judged days. "
                "Partial days are squares and are not judged.",
                draw=drawing.rates_by_day,
                wide=True,
            ),
        ),
    ),
    Section(
        key="users",
        title="Users",
        text="A risk tier sorts users by their observed rate alone, so one violation in one event "
        "is already high. Only a user marked as confirmed has more violations than chance "
        "explains.",
        charts=(
            Chart(
                key="risk-tier",
                title="Users by risk tier",
                table="compliance_by_user_risk_tier",
                columns="risk_tier users events violation_events violation_rate",
                note="By observed violation rate; a label, not evidence.",
                draw=drawing.bars("risk_tier", "users", "", "users"),
            ),
            histogram(
                "user-rate",
                "Users by violation rate",
                "user_violation_rate_histogram",
                "Users with few events can only have a few rates, hence the gaps. The upright axis "
                "is logarithmic, so that rare rates can be seen.",
                drawing.histogram("Violation rate of the user", "Users", rare=True),
            ),
            histogram(
                "user-age",
                "Users by age",
                "user_age_histogram",
                "Each user once, at the age of the first event.",
                drawing.histogram("Age at the first event (years)", "Users"),
            ),
            Chart(
                key="users",
                title="Session duration, violation rate and age",
                table="dim_users",
                columns="user_id events violation_events violation_rate"
                " average_session_duration_minutes user_age risk_evidence",
                note="Each mark is a user; the larger, the more events. Diamonds with thick rims "
                "are confirmed.",
                draw=drawing.users,
                empty=NO_USERS,
                wide=True,
            ),
            Chart(
                key="top-users",
                title="Users with the strongest evidence",
                table="top_risk_users",
                columns="risk_rank user_id risk_evidence events violation_events violation_rate"
                " shrunk_violation_rate p_value p_adjusted user_age",
                note="Somebody is first on any data: only \u201cconfirmed\u201d means more "
                "violations than chance explains. The shrunk rate is the better guess of what the "
                "user does in future.",
                empty=NO_USERS,
                wide=True,
            ),
        ),
    ),
    Section(
        key="sharing",
        title="Data sharing",
        dimensions=("data_shared",),
        charts=(rates(*SHARING), shares(*SHARING), events(*SHARING)),
    ),
    Section(
        key="correlations",
        title="Correlations",
        charts=(
            Chart(
                key="correlations",
                title="Correlation of pairs of metrics",
                table="metric_correlations",
                columns="metric_x metric_y events pearson p_value spearman spearman_p_value",
                note="Pearson's coefficient, from -1 to 1, and its p-value. The p-values are not "
                "adjusted: of pairs that have nothing to do with each other, one in 20 falls below "
                "0.05.",
                draw=drawing.correlations,
                drawn=lambda row: row["pearson"] is not None,
                wide=True,
            ),
        ),
    ),
    Section(
        key="evidence",
        title="All tests of the violation rate",
        charts=(
            Chart(
                key="associations",
                title="Does the violation rate differ at all?",
                table="violation_associations",
                columns="dimension verdict p_adjusted p_value cramers_v members design_effect",
                note="One chi-square test a dimension. The design effect says how much events of "
                "the same user resemble each other; the adjusted p-value allows for it and for the "
                "number of dimensions.",
                wide=True,
            ),
            Chart(
                key="trend",
                title="Does the violation rate change with time?",
                table="violation_trend",
                columns="days change_per_week change_per_week_low change_per_week_high"
                " detectable_change p_adjusted verdict",
                note="Linear trend over the whole days, in percentage points a week.",
                wide=True,
            ),
        ),
    ),
    Section(
        key="quality",
        title="Input quality",
        charts=(
            Chart(
                key="quarantine",
                title="Rejected raw rows by reason",
                table="quarantine_by_rejection_reason",
                columns="rejection_reason quarantined_rows raw_row_share description",
                note="A row can have several reasons. The table lists those that never occurred as "
                "well.",
                draw=drawing.bars(
                    "rejection_reason", "quarantined_rows", "raw_row_share", "rows", limit=0.62
                ),
                drawn=lambda row: row["quarantined_rows"] > 0,
                empty="No raw row was rejected.",
                wide=True,
            ),
        ),
    ),
)
CHARTS = tuple(chart for section in SECTIONS for chart in section.charts)
