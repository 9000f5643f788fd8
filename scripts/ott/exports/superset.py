"""Write a Superset dashboard over the published tables, as a bundle that Superset imports.

The bundle is a ZIP file of Superset's export format. The same release and arguments give the same
bytes, and every object keeps its identifier, so that a later import updates what an earlier one
made.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import yaml

from ott import WrongArgumentsError
from ott.catalog import SCHEMA, Release, Table
from ott.files import whole_file
from ott.releases import CURRENT, DATABASE, release_folder

RELEASE_FILE = Path(CURRENT) / DATABASE
# Identifiers derive from names below this one; another one would double everything on import.
NAMESPACE = uuid5(NAMESPACE_URL, "ott-compliance-analytics/superset")
# The oldest time that a ZIP entry can have; the real one would change the bytes each time.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)

PERCENT = ",.1%"
SIGNED_PERCENT = "+,.2%"
COUNT = ",d"
# How a column is written in tables, wherever it occurs.
NUMBER_FORMATS = {
    "events": COUNT,
    "users": COUNT,
    "violation_events": COUNT,
    "violation_rate": PERCENT,
    "violation_rate_low": PERCENT,
    "violation_rate_high": PERCENT,
    "shrunk_violation_rate": PERCENT,
    "change_per_week": SIGNED_PERCENT,
    "change_per_week_low": SIGNED_PERCENT,
    "change_per_week_high": SIGNED_PERCENT,
    "p_adjusted": ",.3f",
    "user_id": "d",  # a name, not a quantity
}

# Where the column's name would leave the unit open.
HEADINGS = {
    "change_per_week": "percentage points per week",
    "change_per_week_low": "low",
    "change_per_week_high": "high",
}

# Labels of what the charts draw. The invisible part below an interval comes first by its name.
RATE = "rate"
BELOW_INTERVAL = "interval from"
INTERVAL = "interval width"
LOWER_LIMIT = "lower control limit"
UPPER_LIMIT = "upper control limit"
CENTER_LINE = "mean of all days"
SEVEN_DAYS = "mean of 7 days"

# None is the colour of a status, which the release gives, and all differ in lightness.
LABEL_COLORS = {
    "differs": "#AA3377",
    "no_evidence": "#555555",
    "too_few": "#999999",
    BELOW_INTERVAL: "transparent",
    INTERVAL: "#CFE3EF",
    "outside the limits": "#AA3377",
    "within the limits": "#555555",
    "not judged": "#999999",
    LOWER_LIMIT: "#8CB3CB",
    UPPER_LIMIT: "#8CB3CB",
    CENTER_LINE: "#BBBBBB",
    SEVEN_DAYS: "#000000",
    "low": "#D9D2E9",
    "medium": "#9A86C4",
    "high": "#54278F",
}


@dataclass(frozen=True)
class Chart:
    """A chart: what it asks of which table, and how Superset draws it.

    `queries` hold columns, metrics and order as Superset's API takes them; `columns` are the
    columns of the table that they use.
    """

    name: str
    table: str
    viz_type: str
    columns: tuple[str, ...]
    description: str
    queries: tuple[dict[str, Any], ...]
    params: dict[str, Any]

    @property
    def uuid(self) -> UUID:
        """Identifier that stays the same as long as the name does."""
        return uuid5(NAMESPACE, f"chart/{self.name}")


@dataclass(frozen=True)
class Cell:
    """A chart or a text at its place in a row of the dashboard, 12 columns wide."""

    content: Chart | str
    width: int
    height: int  # in units of 8 pixels


# --- charts --------------------------------------------------------------------------------------


def value_of(column: str, label: str | None = None) -> dict[str, Any]:
    """Return the metric that shows a column of a table with one row a member.

    Superset draws only aggregates; the largest of a single value is that value.
    """
    return {
        "expressionType": "SIMPLE",
        "column": {"column_name": column},
        "aggregate": "MAX",
        "label": label or column,
        "hasCustomLabel": True,
    }


def sql_metric(expression: str, label: str) -> dict[str, Any]:
    """Return a metric that SQL computes."""
    return {
        "expressionType": "SQL",
        "sqlExpression": expression,
        "label": label,
        "hasCustomLabel": True,
    }


def sql_column(expression: str, label: str) -> dict[str, Any]:
    """Return a column that SQL computes."""
    return {"expressionType": "SQL", "sqlExpression": expression, "label": label}


def in_order(member: str) -> dict[str, Any]:
    """Return a column that shows the member, and that Superset sorts by `display_order`.

    Superset orders an axis by its labels. A zero-width space comes after the letters of most
    scripts, so the more of them stand in front, the later a label comes; nobody sees them.
    """
    return sql_column(f"REPEAT(CHR(8203), display_order) || {member}", f"{member} in order")


def table(
    name: str, source: str, columns: Iterable[str], order: str, description: str = ""
) -> Chart:
    """Return a table of all rows in an order, which may be that of a column not shown."""
    columns = tuple(columns)
    return Chart(
        name=name,
        table=source,
        viz_type="table",
        columns=tuple(dict.fromkeys((*columns, order))),
        description=description,
        queries=(query(columns=columns, metrics=(), orderby=[[order, True]]),),
        params={
            "query_mode": "raw",
            "all_columns": list(columns),
            "order_by_cols": [json.dumps([order, True])],
            "server_pagination": False,
            "row_limit": 1000,
            "page_length": 0,
            "include_search": False,
            "show_cell_bars": False,
            "color_pn": False,
            "allow_rearrange_columns": False,
            "table_timestamp_format": "%Y-%m-%d",
            "column_config": {
                column: {"d3NumberFormat": number_format, "horizontalAlign": "right"}
                | ({"customColumnName": HEADINGS[column]} if column in HEADINGS else {})
                for column, number_format in NUMBER_FORMATS.items()
                if column in columns
            },
        },
    )


def query(columns: Iterable[Any], metrics: Iterable[Any], orderby: list | None = None) -> dict:
    """Return a query as Superset's API takes it; without metrics it lists rows."""
    return {
        "columns": list(columns),
        "metrics": list(metrics) or None,
        "orderby": orderby or [],
        "filters": [],
        "extras": {"having": "", "where": ""},
        "row_limit": 1000,
    }


def percent_axis(title: str) -> dict[str, Any]:
    """Return the settings of a chart of fractions."""
    return axis(title, PERCENT)


def axis(title: str, number_format: str) -> dict[str, Any]:
    """Return the settings of a chart whose axis begins at 0 and holds all of the data."""
    return {
        "y_axis_format": number_format,
        "y_axis_bounds": [0, None],
        "truncateYAxis": False,
        "truncateXAxis": False,
        "xAxisLabelInterval": "0",
        "y_axis_title": title,
        "y_axis_title_margin": 50,
        "y_axis_title_position": "Left",
        "show_legend": True,
        "legendType": "plain",
        "legendOrientation": "top",
        "rich_tooltip": True,
        "tooltipTimeFormat": "%Y-%m-%d",
        "color_scheme": "supersetColors",
        "annotation_layers": [],
    }


def bars(name: str, source: str, member: str, measure: str, scale: dict[str, Any]) -> Chart:
    """Return a bar for each member, in the member's own colour and with its number."""
    metric = value_of(measure)
    return Chart(
        name=name,
        table=source,
        viz_type="echarts_timeseries_bar",
        columns=(member, measure, "display_order"),
        description="",
        queries=(query([in_order(member), member], [metric]),),
        params={
            **scale,
            "x_axis": in_order(member),
            # For the colours: Superset gives one to each group.
            "groupby": [member],
            "metrics": [metric],
            "stack": "Stack",
            "show_value": True,
            "only_total": True,
            "show_legend": False,
            "orientation": "vertical",
            "row_limit": 1000,
            "truncate_metric": True,
        },
    )


def mixed(
    name: str,
    source: str,
    x_axis: Any,
    first: tuple[list, list],
    second: tuple[list, list],
    columns: tuple[str, ...],
    description: str,
    params: dict[str, Any],
) -> Chart:
    """Return a chart of two queries over one axis, each given as its metrics and its groups."""
    (metrics, groups), (metrics_b, groups_b) = first, second
    return Chart(
        name=name,
        table=source,
        viz_type="mixed_timeseries",
        columns=columns,
        description=description,
        queries=(query([x_axis, *groups], metrics), query([x_axis, *groups_b], metrics_b)),
        params={
            "x_axis": x_axis,
            "metrics": metrics,
            "groupby": groups,
            "metrics_b": metrics_b,
            "groupby_b": groups_b,
            "row_limit": 1000,
            "row_limit_b": 1000,
            "truncate_metric": True,
            "truncate_metric_b": True,
            "seriesTypeB": "scatter",
            "markerSizeB": 11,
            "yAxisIndex": 0,
            "yAxisIndexB": 0,
            **params,
        },
    )


def intervals(title: str, source: str, member: str, ordered: bool = True) -> tuple[Chart, Chart]:
    """Return how the members of a breakdown compare: as a chart, and as a table with verdicts.

    Superset has no error bars. A bar that floats from the lower to the upper bound, on top of an
    invisible one, is the interval; a dot is the rate, and its colour the verdict. `ordered` says
    that the order of the members is a column, because that of their names means nothing.
    """
    order = "display_order" if ordered else member
    bounds = ("violation_rate_low", "violation_rate_high")
    chart = mixed(
        name=f"Violation rate by {title}",
        source=source,
        x_axis=in_order(member) if ordered else member,
        first=(
            [
                value_of("violation_rate_low", BELOW_INTERVAL),
                sql_metric("MAX(violation_rate_high) - MAX(violation_rate_low)", INTERVAL),
            ],
            [],
        ),
        second=([value_of("violation_rate", RATE)], ["verdict"]),
        columns=(member, *dict.fromkeys((order, "violation_rate", *bounds, "verdict"))),
        description="Bar: interval of the rate. Dot: the rate, in the colour of its verdict.",
        params={
            **percent_axis("Violation rate"),
            "seriesType": "bar",
            "stack": True,
            "sort_series_type": "name",
            "sort_series_ascending": True,
        },
    )
    verdicts = table(
        name=f"Verdicts by {title}",
        source=source,
        columns=(member, "events", "violation_rate", *bounds, "verdict"),
        order=order,
    )
    return chart, verdicts


def limit_of_judged_days(column: str, label: str) -> dict[str, Any]:
    """Return the metric that shows a control limit, except where no day is held to it.

    The limits of a partial day with few events lie so far apart that the others look like one line.
    """
    return sql_metric(f"MAX(CASE WHEN is_out_of_control IS NOT NULL THEN {column} END)", label)


KEY_FINDINGS = table(
    name="Key findings",
    source="key_findings",
    columns=("finding", "verdict"),
    order="display_order",
    description="What the data supports, in sentences made from the numbers.",
)
STATUS = bars(
    name="Share of events by status",
    source="compliance_by_status",
    member="status",
    measure="event_share",
    scale=percent_axis("Share of events"),
)
REGION, REGION_VERDICTS = intervals("region", "compliance_by_region", "region")
REGULATION, REGULATION_VERDICTS = intervals("regulation", "compliance_by_regulation", "regulation")
SHARING, SHARING_VERDICTS = intervals(
    "data sharing level", "compliance_by_data_sharing", "data_shared"
)
HOUR, HOUR_VERDICTS = intervals(
    "hour of the day (UTC)", "compliance_by_hour", "event_hour", ordered=False
)
TREND = mixed(
    name="Violation rate by day, with control limits",
    source="violation_control_chart",
    x_axis="event_date",
    first=(
        [
            limit_of_judged_days("control_limit_low", LOWER_LIMIT),
            limit_of_judged_days("control_limit_high", UPPER_LIMIT),
            value_of("center_line", CENTER_LINE),
            value_of("violation_rate_7_days", SEVEN_DAYS),
        ],
        [],
    ),
    second=(
        [value_of("violation_rate", RATE)],
        [
            sql_column(
                "CASE WHEN is_out_of_control THEN 'outside the limits'"
                " WHEN is_out_of_control IS NULL THEN 'not judged' ELSE 'within the limits' END",
                "judgement",
            )
        ],
    ),
    columns=(
        "event_date",
        "violation_rate",
        "violation_rate_7_days",
        "center_line",
        "control_limit_low",
        "control_limit_high",
        "is_out_of_control",
    ),
    description=(
        "Dot: the day's rate. A day within its limits is no news. Partial days and days without "
        "events are not judged, hence have no limits."
    ),
    params={
        **percent_axis("Violation rate"),
        "seriesType": "line",
        "markerSizeB": 7,
        "x_axis_time_format": "%Y-%m-%d",
        "xAxisLabelInterval": "auto",
        "time_grain_sqla": "P1D",
    },
)
TREND_VERDICT = table(
    name="Trend of the violation rate",
    source="violation_trend",
    columns=("days", "change_per_week", "change_per_week_low", "change_per_week_high", "verdict"),
    order="days",
    description="Change per week with its interval.",
)
RISK_TIERS = table(
    name="Events by risk tier of their user",
    source="compliance_by_user_risk_tier",
    columns=(
        "risk_tier",
        "users",
        "events",
        "violation_rate",
        "violation_rate_low",
        "violation_rate_high",
    ),
    order="display_order",
    description="A tier is a label of the observed rate, not evidence of risk.",
)
RISK = bars(
    name="Users by risk tier",
    source="compliance_by_user_risk_tier",
    member="risk_tier",
    measure="users",
    scale=axis("Users", COUNT),
)
RISK_USERS = table(
    name="Users with the strongest evidence of risk",
    source="top_risk_users",
    columns=(
        "user_id",
        "events",
        "violation_events",
        "violation_rate",
        "shrunk_violation_rate",
        "p_adjusted",
        "risk_evidence",
    ),
    order="risk_rank",
    description="Somebody is first on any data: only `confirmed` is more than chance.",
)

HOW_TO_READ = """\
**How to read this.** Every rate stands with its interval. `differs`: more than chance explains, and
large enough to matter. `no_evidence`: a difference may exist, but this data does not show one,
however the bars look. `too_few`: nobody could tell. Times are UTC.
"""
RISK_NOTE = """\
**User risk.** A *tier* sorts users by what was observed: one violation in one event is already
`high`, and the rates differ by construction, so no verdict applies. *Evidence* asks whether a user
has more violations than chance explains: `confirmed` does, adjusted for the number of users;
`watch` only before that adjustment.
"""

CHART_HEIGHT = 42
ROWS = (
    (Cell(KEY_FINDINGS, 8, 60), Cell(STATUS, 4, 60)),
    (Cell(HOW_TO_READ, 12, 12),),
    (Cell(REGION, 7, CHART_HEIGHT), Cell(REGION_VERDICTS, 5, CHART_HEIGHT)),
    (Cell(REGULATION, 7, CHART_HEIGHT), Cell(REGULATION_VERDICTS, 5, CHART_HEIGHT)),
    (Cell(SHARING, 7, CHART_HEIGHT), Cell(SHARING_VERDICTS, 5, CHART_HEIGHT)),
    (Cell(HOUR, 7, 60), Cell(HOUR_VERDICTS, 5, 60)),
    (Cell(TREND, 8, 54), Cell(TREND_VERDICT, 4, 54)),
    (Cell(RISK_NOTE, 12, 12),),
    (Cell(RISK, 4, 40), Cell(RISK_TIERS, 8, 40)),
    (Cell(RISK_USERS, 12, 34),),
)
CHARTS = tuple(cell.content for row in ROWS for cell in row if isinstance(cell.content, Chart))


# --- the release ---------------------------------------------------------------------------------


def rows_of(release: Release) -> list[tuple[Cell, ...]]:
    """Return the rows of the dashboard, without charts of tables that the release leaves out."""
    rows = (
        tuple(
            cell
            for cell in row
            if not isinstance(cell.content, Chart) or cell.content.table in release.tables
        )
        for row in ROWS
    )
    return [*filter(None, rows)]


def charts_of(release: Release) -> list[Chart]:
    """Return the charts of the dashboard."""
    return [
        cell.content for row in rows_of(release) for cell in row if isinstance(cell.content, Chart)
    ]


# --- the bundle ----------------------------------------------------------------------------------


def database_asset(database_path: str) -> dict[str, Any]:
    """Return the connection: read-only, and opened anew for each query."""
    return {
        "database_name": "OTT compliance",
        "sqlalchemy_uri": f"duckdb:///{database_path}",
        # Never cached, or a new release would show only when the cache expires.
        "cache_timeout": -1,
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_csv_upload": False,
        "extra": {
            "engine_params": {
                "connect_args": {
                    "read_only": True,
                    # SQL Lab reads this file and no other one of the server.
                    "config": {"enable_external_access": False},
                }
            },
            "allows_virtual_table_explore": True,
        },
        "uuid": str(uuid5(NAMESPACE, "database")),
        "version": "1.0.0",
    }


def dataset_asset(table: Table) -> dict[str, Any]:
    """Return a published table as a dataset, described by its comments."""
    return {
        "table_name": table.name,
        "main_dttm_col": None,
        "description": table.comment.strip(),
        "schema": SCHEMA,
        "sql": None,
        "columns": [
            {
                "column_name": column.name,
                "verbose_name": column.name.replace("_", " "),
                "description": column.comment,
                "type": column.type,
                "is_dttm": column.type.startswith(("DATE", "TIMESTAMP")),
                "is_active": True,
                "groupby": True,
                "filterable": True,
                "expression": None,
            }
            for column in table.columns
        ],
        "metrics": [],
        "uuid": str(uuid5(NAMESPACE, f"dataset/{table.name}")),
        "version": "1.0.0",
        "database_uuid": str(uuid5(NAMESPACE, "database")),
    }


def chart_asset(chart: Chart) -> dict[str, Any]:
    """Return a chart with the query that Superset's API answers for it."""
    params = {"viz_type": chart.viz_type, "adhoc_filters": [], "extra_form_data": {}}
    params |= chart.params
    context = {
        # Superset puts the number of the imported dataset here.
        "datasource": {"id": 0, "type": "table"},
        "force": False,
        "queries": list(chart.queries),
        "form_data": params,
        "result_format": "json",
        "result_type": "full",
    }
    return {
        "slice_name": chart.name,
        "description": chart.description or None,
        "viz_type": chart.viz_type,
        "params": params,
        "query_context": json.dumps(context),
        "cache_timeout": None,
        "uuid": str(chart.uuid),
        "version": "1.0.0",
        "dataset_uuid": str(uuid5(NAMESPACE, f"dataset/{chart.table}")),
    }


def dashboard_asset(release: Release) -> dict[str, Any]:
    """Return the dashboard: the places of its charts, and the colours of their labels."""
    statuses = release.query(f"select status, color from {SCHEMA}.compliance_by_status")
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": "OTT compliance"}},
    }
    for row_number, row in enumerate(rows_of(release), start=1):
        row_id = f"ROW-{row_number}"
        parents = ["ROOT_ID", "GRID_ID"]
        position["GRID_ID"]["children"].append(row_id)
        position[row_id] = {
            "type": "ROW",
            "id": row_id,
            "children": [],
            "parents": parents,
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
        for cell_number, cell in enumerate(row, start=1):
            place = {"width": cell.width, "height": cell.height}
            if isinstance(cell.content, Chart):
                kind = "CHART"
                place |= {
                    # Superset replaces it by the number of the imported chart.
                    "chartId": CHARTS.index(cell.content) + 1,
                    "sliceName": cell.content.name,
                    "uuid": str(cell.content.uuid),
                }
            else:
                kind = "MARKDOWN"
                place |= {"code": cell.content}
            cell_id = f"{kind}-{row_number}-{cell_number}"
            position[row_id]["children"].append(cell_id)
            position[cell_id] = {
                "type": kind,
                "id": cell_id,
                "children": [],
                "parents": [*parents, row_id],
                "meta": place,
            }
    return {
        "dashboard_title": "OTT compliance",
        "description": "Privacy-compliance events: what differs, and what only looks as if it did.",
        "slug": "ott-compliance",
        "uuid": str(uuid5(NAMESPACE, "dashboard")),
        "position": position,
        "metadata": {
            "color_scheme": "supersetColors",
            "label_colors": {**LABEL_COLORS, **{row["status"]: row["color"] for row in statuses}},
            "shared_label_colors": [],
            "map_label_colors": {},
            "color_scheme_domain": [],
            # A dashboard left open shows a new release after five minutes.
            "refresh_frequency": 300,
            "timed_refresh_immune_slices": [],
            "expanded_slices": {},
            "native_filter_configuration": [],
            "cross_filters_enabled": False,
            "chart_configuration": {},
        },
        "published": True,
        "version": "1.0.0",
    }


def bundle_files(release: Release, database_path: str) -> dict[str, str]:
    """Return the text of each file of the bundle by its name."""
    assets: dict[str, Any] = {
        # Without a `type`, Superset imports the bundle as a dashboard and as assets.
        "metadata.yaml": {"version": "1.0.0", "timestamp": "1980-01-01T00:00:00+00:00"},
        "databases/ott_compliance.yaml": database_asset(database_path),
        "dashboards/ott_compliance.yaml": dashboard_asset(release),
    }
    for name in sorted({chart.table for chart in charts_of(release)}):
        assets[f"datasets/ott_compliance/{name}.yaml"] = dataset_asset(release.tables[name])
    for chart in charts_of(release):
        file_name = "".join(c if c.isalnum() else "_" for c in chart.name.lower())
        assets[f"charts/{file_name}.yaml"] = chart_asset(chart)
    return {
        name: yaml.dump(asset, Dumper=Dumper, allow_unicode=True, sort_keys=False, width=100)
        for name, asset in assets.items()
    }


class Dumper(yaml.SafeDumper):
    """Writes what several charts share in full each time; Superset's files have no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Say that nothing becomes an alias."""
        return True


def write_bundle(output: Path, files: dict[str, str]) -> None:
    """Write files below one folder to a ZIP file, the same ones to the same bytes."""
    with whole_file(output) as unfinished, zipfile.ZipFile(unfinished, "w") as bundle:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"ott_compliance/{name}", date_time=ZIP_TIME)
            # Set, because both depend on the platform.
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            bundle.writestr(entry, files[name])


def write_dashboard(output: Path, database_path: str | None = None) -> int:
    """Write the bundle over the release that is served, and return its number of charts.

    `database_path` is where the Superset server sees the database, by default where it is here.
    Raises WrongArgumentsError when that is relative, OttError when there is no whole release.
    """
    # Not resolved: a later release replaces what `current` points to.
    release_file = release_folder() / RELEASE_FILE
    if not (database_path or "/").startswith("/"):
        raise WrongArgumentsError(
            "--database-path must be absolute: Superset runs in a folder of its own"
        )
    with Release(release_file) as release:
        release.require((chart.table, column) for chart in CHARTS for column in chart.columns)
        write_bundle(output, bundle_files(release, database_path or str(release_file)))
        return len(charts_of(release))
