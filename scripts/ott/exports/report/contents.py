"""What the report shows, in which order: its sections, and their charts with their tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ott.catalog import Row
from ott.exports.report import drawing


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart with the table behind it, which stands alone without `draw`; both read one table.

    `columns` are names with blanks between them, and `{}` in the title is the label of the
    `dimension`; `only` the rows of one are taken of a table of several. `control` names the means
    of the page to filter the chart. `drawn` picks the rows that are drawn, each with its `tip` and
    `remark`, which name columns in braces; `empty` stands in the place of a chart without rows.
    """

    key: str
    title: str
    table: str
    columns: str
    note: str
    dimension: str = ""
    only: str = ""
    draw: drawing.Draw | None = None
    tip: str = ""
    remark: str = ""
    control: str = ""
    drawn: Callable[[Row], bool] = bool
    empty: str = "There are no events to draw."
    wide: bool = False


@dataclass(frozen=True)
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
RATE_TIP = (
    "{violation_rate}, interval {violation_rate_low} to {violation_rate_high}, {events} events"
)
RATE_NOTE = "Bars are intervals, the dashed line is the rate of all events."
NO_USERS = "This release does not publish single users."

# Beginning of the keys of its charts, dimension and table of each breakdown.
Breakdown = tuple[str, str, str]
REGION = ("region", "region", "compliance_by_region")
REGULATION = ("regulation", "regulation", "compliance_by_regulation")
EVENT_TYPE = ("event-type", "event_type", "compliance_by_event_type")
STREAMS = ("streams", "concurrent_streams", "compliance_by_concurrent_streams")
HOUR = ("hour", "event_hour", "compliance_by_hour")
WEEKDAY = ("weekday", "weekday", "compliance_by_weekday")
DAY = ("day", "event_date", "compliance_by_date")
AGE_BAND = ("age-band", "age_band", "compliance_by_age_band")
SHARING = ("sharing", "data_shared", "compliance_by_data_sharing")


def breakdown(of: Breakdown, what: str, columns: str, **rest: Any) -> Chart:
    """Return a chart with a row for each member of a dimension."""
    key, dimension, table = of
    columns = f"{dimension} {columns}"
    return Chart(key=f"{key}-{what}", table=table, dimension=dimension, columns=columns, **rest)


def rates(of: Breakdown, **changes: Any) -> Chart:
    """Return the violation rates of the members of a dimension."""
    draw = partial(drawing.rates, member=of[1])
    shown = {"title": "Violation rate by {}", "note": RATE_NOTE, "draw": draw}
    return breakdown(of, "rate", RATE, tip=f"{{{of[1]}}}: {RATE_TIP}", **shown | changes)


def statuses(
    of: Breakdown, what: str = "share", measure: str = "rate", title: str = "Status shares by {}"
) -> Chart:
    """Return the statuses of the events of each member of a dimension, in rates or events."""
    columns = [f"{status}_{measure}" for status in ("compliant", "warning", "violation")]
    return breakdown(
        of,
        what,
        f"events {' '.join(columns)}",
        title=title,
        note="Beside each name: compliant, warning, violation. Choose statuses to compare them.",
        draw=partial(drawing.stacked, member=of[1], measure=measure),
        remark=" · ".join(f"{{{column}}}" for column in columns),
        control="statuses",
    )


def events(of: Breakdown, **changes: Any) -> Chart:
    """Return the number of events of each member of a dimension."""
    shown = {
        "title": "Events by {}",
        "note": "Number of events and their share of all events.",
        "draw": partial(drawing.bars, member=of[1], value="events", title="Events"),
        "remark": "{events} events · {event_share}",
    }
    return breakdown(of, "events", "events event_share users", **shown | changes)


def histogram(key: str, table: str, *, title: str, note: str, **options: Any) -> Chart:
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


STATUS = Chart(
    key="status",
    title="Events by status",
    table="compliance_by_status",
    columns="status events event_share users",
    note="Every accepted event has exactly one status.",
    draw=drawing.statuses,
    tip="{status}: {event_share}",
    remark="{event_share} · {events} events",
    control="statuses",
)
EVENTS_OF_REGULATIONS = statuses(REGULATION, "events", "events", "Events by {} and status")
REGION_BY_REGULATION = Chart(
    key="region-regulation",
    title="Violation rate by {}",
    dimension="region_and_regulation",
    table="compliance_by_region_and_regulation",
    columns=f"region regulation {RATE}",
    note="Only cells in the colour of violations, marked ▲ or ▼, differ from the rest. Grey cells "
    "show no evidence of a difference, however dark; in those marked \u201ctoo few\u201d nobody "
    "could tell.",
    draw=drawing.region_by_regulation,
    tip="{region} under {regulation}: {violation_rate} of {events} events, {verdict}",
)
REGULATION_WITHIN_REGION = Chart(
    key="regulation-within-region",
    title="Violation rate within one region",
    table="compliance_by_region_and_regulation",
    columns=f"region regulation {RATE}",
    note=f"{RATE_NOTE} The axis is the same for every region.",
    draw=partial(drawing.rates, member="regulation", within="region"),
    tip=f"{{regulation}}: {RATE_TIP}",
    control="region",
)
DURATION = histogram(
    "duration",
    "session_duration_histogram",
    title="Session duration",
    note="Events by the duration of their session; a session with many events counts as often.",
    axis="Session duration (minutes)",
    unit="Events",
    mean=True,
)
DURATION_STATISTICS = Chart(
    key="duration-statistics",
    title="Session duration in figures",
    table="session_duration_statistics",
    columns="mean_minutes median_minutes stddev_minutes min_minutes p25_minutes p75_minutes"
    " max_minutes events",
    note="Box: the middle half. Thick line: median. Diamond: mean. Thin line: minimum to maximum.",
    draw=drawing.duration_box,
    drawn=lambda row: row["mean_minutes"] is not None,
)
EVENTS_OF_DAYS = breakdown(
    DAY,
    "events",
    "events compliant_events warning_events violation_events users is_partial_day",
    title="Events by {}",
    note="Hatched days are partial: the data begins or ends inside them. Drag over the chart, or "
    "set the dates, to look closer at some days.",
    draw=drawing.events_by_day,
    control="days",
    wide=True,
)
RATES_OF_DAYS = breakdown(
    DAY,
    "rate",
    "events violation_rate control_limit_low control_limit_high is_out_of_control"
    " violation_rate_7_days is_partial_day verdict",
    title="Violation rate by {}",
    note="Band: control limits, wider on days with fewer events; a point inside it is noise. Solid "
    "line: the last seven days together. Dashed line: all judged days. Partial days are squares "
    "and are not judged.",
    draw=drawing.rates_by_day,
    wide=True,
)
RISK_TIERS = Chart(
    key="risk-tier",
    title="Users by {}",
    dimension="risk_tier",
    table="compliance_by_user_risk_tier",
    columns="risk_tier users events violation_events violation_rate",
    note="By observed violation rate; a label, not evidence.",
    draw=partial(drawing.bars, member="risk_tier", value="users", title="Users"),
    remark="{users} users",
)
USER_RATES = histogram(
    "user-rate",
    "user_violation_rate_histogram",
    title="Users by violation rate",
    note="Users with few events can only have a few rates, hence the gaps. The upright axis is "
    "logarithmic, so that rare rates can be seen.",
    axis="Violation rate of the user",
    unit="Users",
    in_percent=True,
    rare=True,
)
USER_AGES = histogram(
    "user-age",
    "user_age_histogram",
    title="Users by age",
    note="Each user once, at the age of the first event. Every bar holds equally many years.",
    axis="Age at the first event (years)",
    unit="Users",
    whole=True,
)
USERS = Chart(
    key="users",
    title="Session duration, violation rate and age",
    table="dim_users",
    columns="user_id events violation_events violation_rate average_session_duration_minutes"
    " user_age risk_evidence",
    note="Each mark is a user; the larger, the more events. Diamonds with thick rims are "
    "confirmed.",
    draw=drawing.users,
    tip="user {user_id}, age {user_age}: {violation_rate} of {events} events, "
    "{average_session_duration_minutes} min on average",
    empty=NO_USERS,
    wide=True,
)
TOP_USERS = Chart(
    key="top-users",
    title="Users by evidence of risk",
    table="top_risk_users",
    columns="risk_rank user_id risk_evidence events violation_events violation_rate"
    " shrunk_violation_rate p_value p_adjusted user_age",
    note="Somebody is first on any data: only \u201cconfirmed\u201d means more violations than "
    "chance explains. The shrunk rate is the better guess of what the user does in future.",
    empty=NO_USERS,
    wide=True,
)
CORRELATIONS = Chart(
    key="correlations",
    title="Correlation of pairs of metrics",
    table="metric_correlations",
    columns="metric_x metric_y events effective_events pearson p_value p_adjusted spearman"
    " spearman_p_value spearman_p_adjusted",
    note="Pearson's coefficient, from -1 to 1, and its p-value, adjusted for all pairs and both "
    "coefficients. P-values count the events of a user as if all told the same.",
    draw=drawing.correlations,
    drawn=lambda row: row["pearson"] is not None,
    wide=True,
)
ASSOCIATIONS = Chart(
    key="associations",
    title="Does the violation rate differ at all?",
    table="violation_associations",
    columns="dimension verdict p_adjusted p_value cramers_v members design_effect",
    note="One chi-square test a dimension. The design effect says how much events of the same user "
    "resemble each other; the adjusted p-value allows for it and for the number of dimensions.",
    wide=True,
)
TREND = Chart(
    key="trend",
    title="Does the violation rate change with time?",
    table="violation_trend",
    columns="days change_per_week change_per_week_low change_per_week_high detectable_change"
    " p_adjusted verdict",
    note="Linear trend over the whole days, in percentage points a week.",
    wide=True,
)
QUARANTINE = Chart(
    key="quarantine",
    title="Rejected raw rows by reason",
    table="quarantine_by_rejection_reason",
    columns="rejection_reason quarantined_rows raw_row_share description",
    note="A row can have several reasons. The table lists those that never occurred as well.",
    draw=partial(
        drawing.bars,
        member="rejection_reason",
        value="quarantined_rows",
        title="Rows",
        limit=0.62,
    ),
    remark="{quarantined_rows} rows · {raw_row_share}",
    drawn=lambda row: row["quarantined_rows"] > 0,
    empty="No raw row was rejected.",
    wide=True,
)

SECTIONS = (
    Section("status", "Compliance status", (STATUS,)),
    Section("regions", "Regions", (rates(REGION), statuses(REGION), events(REGION))),
    Section(
        "regulations",
        "Regulations",
        (rates(REGULATION), EVENTS_OF_REGULATIONS, REGION_BY_REGULATION, REGULATION_WITHIN_REGION),
    ),
    Section(
        "events",
        "Event types and sessions",
        (
            rates(EVENT_TYPE),
            statuses(EVENT_TYPE),
            events(EVENT_TYPE, title="Events by type"),
            events(STREAMS, note="How many streams ran at once."),
            rates(STREAMS),
            DURATION,
            DURATION_STATISTICS,
        ),
    ),
    Section(
        "time",
        "Time",
        (
            events(
                HOUR,
                note="All days together.",
                draw=drawing.events_by_hour,
                tip="{event_hour}: {events} events",
            ),
            rates(HOUR, draw=drawing.rates_by_hour),
            rates(WEEKDAY),
            EVENTS_OF_DAYS,
            RATES_OF_DAYS,
        ),
        "All times are UTC.",
    ),
    Section(
        "users",
        "Users",
        (RISK_TIERS, USER_RATES, USER_AGES, rates(AGE_BAND), USERS, TOP_USERS),
        "A risk tier sorts users by their observed rate alone, so one violation in one event is "
        "already high. Only a user marked as confirmed has more violations than chance explains.",
    ),
    Section("sharing", "Data sharing", (rates(SHARING), statuses(SHARING), events(SHARING))),
    Section("correlations", "Correlations", (CORRELATIONS,)),
    Section("evidence", "All tests of the violation rate", (ASSOCIATIONS, TREND)),
    Section("quality", "Input quality", (QUARANTINE,)),
)
CHARTS = tuple(chart for section in SECTIONS for chart in section.charts)


def further(dimensions: list[str]) -> tuple[Section, ...]:
    """Return the section of the dimensions that the platform adds, none without any."""
    charts = tuple(
        Chart(
            key=f"further-{dimension}",
            title="Violation rate by {}",
            table="compliance_by_member",
            columns=f"member {RATE}",
            note=f"{RATE_NOTE} Rare values count together as other.",
            dimension=dimension,
            only=dimension,
            draw=partial(drawing.rates, member="member"),
            tip=f"{{member}}: {RATE_TIP}",
        )
        for dimension in dimensions
    )
    return (Section("further", "Further dimensions", charts),) if charts else ()
