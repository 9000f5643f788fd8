"""What the report shows, in which order: its sections, and their charts with their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ott.catalog import Row
from ott.exports.report import drawing


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart with the table behind it; both read the same rows of one table of the marts.

    `title` names the `dimension` of the mart of that name where it has `{}`, and `columns` are
    names with blanks between them. `control` names the means of the page to filter the chart,
    `drawn` picks the rows that are drawn, and `empty` stands in its place when there are none.
    Without `draw` the table stands alone.
    """

    key: str
    title: str
    table: str
    columns: str
    note: str
    dimension: str = ""
    draw: drawing.Draw | None = None
    control: str = ""
    drawn: Callable[[Row], bool] = bool
    empty: str = "There are no events to draw."
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page; it opens with the verdicts on the dimensions of its charts."""

    key: str
    title: str
    charts: tuple[Chart, ...]
    text: str = ""

    @property
    def dimensions(self) -> list[str]:
        """The dimensions of its charts, each once."""
        return list(dict.fromkeys(chart.dimension for chart in self.charts if chart.dimension))


RATE = (
    "events violation_events violation_rate violation_rate_low violation_rate_high"
    " rate_difference detectable_difference p_adjusted verdict"
)
RATE_NOTE = "Bars are intervals, the dashed line is the rate of all events."
SHARE_NOTE = "Beside each name: compliant, warning, violation. Choose statuses to compare them."
NO_USERS = "This release does not publish single users."

# Beginning of the keys of its charts, dimension and table of each breakdown.
Breakdown = tuple[str, str, str]
REGION = ("region", "region", "compliance_by_region")
REGULATION = ("regulation", "regulation", "compliance_by_regulation")
EVENT_TYPE = ("event-type", "event_type", "compliance_by_event_type")
STREAMS = ("streams", "concurrent_streams", "compliance_by_concurrent_streams")
HOUR = ("hour", "event_hour", "compliance_by_hour")
SHARING = ("sharing", "data_shared", "compliance_by_data_sharing")


def breakdown(of: Breakdown, what: str, columns: str, **rest: Any) -> Chart:
    """Return a chart with a row for each member of a dimension."""
    key, dimension, table = of
    return Chart(
        key=f"{key}-{what}",
        table=table,
        dimension=dimension,
        columns=f"{dimension} {columns}",
        **rest,
    )


def rates(of: Breakdown, **changes: Any) -> Chart:
    """Return the violation rates of the members of a dimension."""
    draw = partial(drawing.rates, member=of[1])
    shown = {"title": "Violation rate by {}", "note": RATE_NOTE, "draw": draw}
    return breakdown(of, "rate", RATE, **shown | changes)


def shares(of: Breakdown) -> Chart:
    """Return the statuses of the events of each member of a dimension."""
    draw = partial(drawing.stacked, member=of[1], measure="rate")
    shown = {"title": "Status shares by {}", "note": SHARE_NOTE, "draw": draw}
    rates = "events compliant_rate warning_rate violation_rate"
    return breakdown(of, "share", rates, control="statuses", **shown)


def events(of: Breakdown, **changes: Any) -> Chart:
    """Return the number of events of each member of a dimension."""
    draw = partial(drawing.bars, member=of[1], value="events", share="event_share", unit="events")
    note = "Number of events and their share of all events."
    shown = {"title": "Events by {}", "note": note, "draw": draw}
    return breakdown(of, "events", "events event_share users", **shown | changes)


def histogram(key: str, table: str, title: str, note: str, **options: Any) -> Chart:
    """Return a histogram, drawn with these options."""
    return Chart(
        key=key,
        title=title,
        table=table,
        columns="bin_number bin_start bin_end frequency",
        note=note,
        draw=partial(drawing.histogram, **options),
        drawn=lambda row: row["bin_start"] is not None,
    )


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
        charts=(rates(REGION), shares(REGION), events(REGION)),
    ),
    Section(
        key="regulations",
        title="Regulations",
        charts=(
            rates(REGULATION),
            breakdown(
                REGULATION,
                "events",
                "events compliant_events warning_events violation_events",
                title="Events by {} and status",
                note=SHARE_NOTE,
                draw=partial(drawing.stacked, member="regulation", measure="events"),
                control="statuses",
            ),
            Chart(
                key="region-regulation",
                title="Violation rate by {}",
                dimension="region_and_regulation",
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
                draw=partial(drawing.rates, member="regulation", within="region"),
                control="region",
            ),
        ),
    ),
    Section(
        key="events",
        title="Event types and sessions",
        charts=(
            rates(EVENT_TYPE),
            shares(EVENT_TYPE),
            events(EVENT_TYPE, title="Events by type"),
            events(STREAMS, note="How many streams ran at once."),
            rates(STREAMS),
            histogram(
                "duration",
                "session_duration_histogram",
                "Session duration",
                "Events by the duration of their session; a session with many events counts as "
                "often.",
                axis="Session duration (minutes)",
                unit="Events",
                mean=True,
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
        charts=(
            events(HOUR, note="All days together.", draw=drawing.events_by_hour),
            rates(HOUR, draw=drawing.rates_by_hour),
            Chart(
                key="day-events",
                title="Events by {}",
                dimension="event_date",
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
                title="Violation rate by {}",
                dimension="event_date",
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
                title="Users by {}",
                dimension="risk_tier",
                table="compliance_by_user_risk_tier",
                columns="risk_tier users events violation_events violation_rate",
                note="By observed violation rate; a label, not evidence.",
                draw=partial(drawing.bars, member="risk_tier", value="users", unit="users"),
            ),
            histogram(
                "user-rate",
                "user_violation_rate_histogram",
                "Users by violation rate",
                "Users with few events can only have a few rates, hence the gaps. The upright axis "
                "is logarithmic, so that rare rates can be seen.",
                axis="Violation rate of the user",
                unit="Users",
                in_percent=True,
                rare=True,
            ),
            histogram(
                "user-age",
                "user_age_histogram",
                "Users by age",
                "Each user once, at the age of the first event.",
                axis="Age at the first event (years)",
                unit="Users",
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
        charts=(rates(SHARING), shares(SHARING), events(SHARING)),
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
                draw=partial(
                    drawing.bars,
                    member="rejection_reason",
                    value="quarantined_rows",
                    share="raw_row_share",
                    unit="rows",
                    limit=0.62,
                ),
                drawn=lambda row: row["quarantined_rows"] > 0,
                empty="No raw row was rejected.",
                wide=True,
            ),
        ),
    ),
)
CHARTS = tuple(chart for section in SECTIONS for chart in section.charts)
