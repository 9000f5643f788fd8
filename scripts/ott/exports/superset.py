"""Write a Superset dashboard over the published tables, as a bundle that Superset imports.

The bundle is a ZIP file of Superset's export format. The same release and arguments give the same
bytes, and every object keeps its identifier, so that an import updates what an earlier one made.
"""

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml

from ott import WrongArgumentsError
from ott.catalog import SCHEMA, Release, Table
from ott.files import whole_file
from ott.registry import registry
from ott.releases import CURRENT, DATABASE, release_folder

RELEASE_FILE = Path(CURRENT) / DATABASE
# Identifiers derive from names below this one; another one would double everything on import.
NAMESPACE = uuid5(NAMESPACE_URL, "ott-compliance-analytics/superset")
# The oldest time that a ZIP entry can have; the real one would change the bytes each time.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
DIMENSIONS = {entry["dimension"]: entry for entry in registry("dimensions")}

PERCENT = ",.1%"
COUNT = ",d"
RATE_WITH_BOUNDS = "violation_rate violation_rate_low violation_rate_high"
CHANGE_WITH_BOUNDS = "change_per_week change_per_week_low change_per_week_high"
# How a column is written in tables, wherever it occurs.
NUMBER_FORMATS = {
    **dict.fromkeys(("events", "users", "violation_events"), COUNT),
    **dict.fromkeys((*RATE_WITH_BOUNDS.split(), "shrunk_violation_rate"), PERCENT),
    **dict.fromkeys(CHANGE_WITH_BOUNDS.split(), "+,.2%"),
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
BELOW_INTERVAL = "interval from"
INTERVAL = "interval width"
LOWER_LIMIT = "lower control limit"
UPPER_LIMIT = "upper control limit"
CENTER_LINE = "mean of all days"
SEVEN_DAYS = "mean of 7 days"

# None is the colour of a status, which the release gives, and all differ in lightness.
LABEL_COLORS = {
    **{"differs": "#AA3377", "no_evidence": "#555555", "too_few": "#999999"},
    "explained_by_mix": "#7A5C00",
    **{BELOW_INTERVAL: "transparent", INTERVAL: "#CFE3EF"},
    **{"outside the limits": "#AA3377", "within the limits": "#555555", "not judged": "#999999"},
    **{LOWER_LIMIT: "#8CB3CB", UPPER_LIMIT: "#8CB3CB", CENTER_LINE: "#BBBBBB"},
    **{SEVEN_DAYS: "#000000", "low": "#D9D2E9", "medium": "#9A86C4", "high": "#54278F"},
}


def identifier(name: str) -> str:
    """Return the identifier of an object of the bundle, which stays the same as its name does."""
    return str(uuid5(NAMESPACE, name))


@dataclass(frozen=True)
class Chart:
    """A chart: what it asks of which columns of a table, and how Superset draws it.

    `queries` hold columns, metrics and order as Superset's API takes them.
    """

    name: str
    table: str
    viz_type: str
    columns: set[str]
    queries: list[dict[str, Any]]
    params: dict[str, Any]
    description: str = ""


def value_of(column: str, label: str | None = None) -> dict[str, Any]:
    """Return the metric that shows a column with one value a member; Superset only aggregates."""
    return {
        "expressionType": "SIMPLE",
        "column": {"column_name": column},
        "aggregate": "MAX",
        "label": label or column,
        "hasCustomLabel": True,
    }


def sql_column(expression: str, label: str) -> dict[str, Any]:
    """Return a column that SQL computes."""
    return {"expressionType": "SQL", "sqlExpression": expression, "label": label}


def sql_metric(expression: str, label: str) -> dict[str, Any]:
    """Return a metric that SQL computes."""
    return {**sql_column(expression, label), "hasCustomLabel": True}


def in_order(member: str) -> dict[str, Any]:
    """Return a column that shows the member, and that Superset sorts by `display_order`.

    Superset orders an axis by its labels. A zero-width space comes after the letters of most
    scripts, so the more of them stand in front, the later a label comes; nobody sees them.
    """
    return sql_column(f"REPEAT(CHR(8203), display_order) || {member}", f"{member} in order")


def query(columns: Iterable[Any], metrics: Iterable[Any], orderby: Sequence = ()) -> dict:
    """Return a query as Superset's API takes it; without metrics it lists rows."""
    return {
        "columns": list(columns),
        "metrics": list(metrics) or None,
        "orderby": list(orderby),
        "filters": [],
        "extras": {"having": "", "where": ""},
        "row_limit": 1000,
    }


def table(name: str, source: str, columns: str, order: str, description: str = "") -> Chart:
    """Return a table of all rows in an order, which may be that of a column not shown."""
    shown = columns.split()
    params = {
        "query_mode": "raw",
        "all_columns": shown,
        "order_by_cols": [json.dumps([order, True])],
        **dict.fromkeys(("server_pagination", "include_search", "show_cell_bars"), False),
        **dict.fromkeys(("color_pn", "allow_rearrange_columns"), False),
        "row_limit": 1000,
        "page_length": 0,
        "table_timestamp_format": "%Y-%m-%d",
        "column_config": {
            column: {"d3NumberFormat": NUMBER_FORMATS[column], "horizontalAlign": "right"}
            | ({"customColumnName": HEADINGS[column]} if column in HEADINGS else {})
            for column in shown
            if column in NUMBER_FORMATS
        },
    }
    queries = [query(shown, [], [[order, True]])]
    return Chart(name, source, "table", {*shown, order}, queries, params, description)


def axis(title: str, number_format: str = PERCENT) -> dict[str, Any]:
    """Return the settings of a chart whose axis begins at 0 and holds all of the data."""
    return {
        "y_axis_format": number_format,
        "y_axis_bounds": [0, None],
        **dict.fromkeys(("truncateYAxis", "truncateXAxis"), False),
        **dict.fromkeys(("show_legend", "rich_tooltip", "truncate_metric"), True),
        "xAxisLabelInterval": "0",
        "y_axis_title": title,
        "y_axis_title_margin": 50,
        "y_axis_title_position": "Left",
        "legendType": "plain",
        "legendOrientation": "top",
        "tooltipTimeFormat": "%Y-%m-%d",
        "color_scheme": "supersetColors",
        "annotation_layers": [],
        "row_limit": 1000,
    }


def bars(title: str, source: str, member: str, measure: str, number_format: str) -> Chart:
    """Return a bar for each member, in the member's own colour and with its number."""
    metrics = [value_of(measure)]
    params = {
        **axis(title, number_format),
        **{"x_axis": in_order(member), "metrics": metrics},
        # For the colours: Superset gives one to each group.
        "groupby": [member],
        **{"stack": "Stack", "orientation": "vertical"},
        **{"show_value": True, "only_total": True, "show_legend": False},
    }
    name = f"{title} by {DIMENSIONS[member]['singular'] if member in DIMENSIONS else member}"
    columns = {member, measure, "display_order"}
    queries = [query([in_order(member), member], metrics)]
    return Chart(name, source, "echarts_timeseries_bar", columns, queries, params)


def rates(
    name: str,
    source: str,
    x_axis: Any,
    metrics: list[dict[str, Any]],
    group: Any,
    columns: str,
    description: str,
    **params: Any,
) -> Chart:
    """Return a dot for each violation rate, coloured by its group, over other metrics."""
    dots = [value_of("violation_rate", "rate")]
    queries = [query([x_axis], metrics), query([x_axis, group], dots)]
    shown = {
        **axis("Violation rate"),
        **{"x_axis": x_axis, "metrics": metrics, "groupby": [], "yAxisIndex": 0},
        **{"metrics_b": dots, "groupby_b": [group], "row_limit_b": 1000, "yAxisIndexB": 0},
        **{"truncate_metric_b": True, "seriesTypeB": "scatter", "markerSizeB": 11},
        **params,
    }
    used = {*columns.split()}
    return Chart(name, source, "mixed_timeseries", used, queries, shown, description)


def intervals(
    dimension: str, source: str, order: str = "display_order"
) -> tuple[tuple[Chart, int], tuple[Chart, int]]:
    """Return how the members of a dimension compare: a chart, and a table with verdicts.

    Superset has no error bars. A bar that floats from the lower to the upper bound, on top of an
    invisible one, is the interval; a dot is the rate, and its colour the verdict. The members
    stand in the order of a column, which may be that of the members themselves.
    """
    title = DIMENSIONS[dimension]["singular"]
    ordered = order != dimension
    chart = rates(
        f"Violation rate by {title}",
        source,
        x_axis=in_order(dimension) if ordered else dimension,
        metrics=[
            value_of("violation_rate_low", BELOW_INTERVAL),
            sql_metric("MAX(violation_rate_high) - MAX(violation_rate_low)", INTERVAL),
        ],
        group="verdict",
        columns=f"{dimension} {order} {RATE_WITH_BOUNDS} verdict",
        description="Bar: interval of the rate. Dot: the rate, in the colour of its verdict.",
        seriesType="bar",
        stack=True,
        sort_series_type="name",
        sort_series_ascending=True,
    )
    shown = f"{dimension} events {RATE_WITH_BOUNDS} verdict"
    return (chart, 7), (table(f"Verdicts by {title}", source, shown, order), 5)


KEY_FINDINGS = table(
    "Key findings",
    "key_findings",
    "finding detail verdict",
    order="display_order",
    description="What the data supports, in sentences made from the numbers.",
)
STATUS = bars("Share of events", "compliance_by_status", "status", "event_share", PERCENT)
# The limits of a partial day with few events lie so far apart that the others look like one line.
OF_JUDGED_DAYS = "MAX(CASE WHEN is_out_of_control IS NOT NULL THEN {} END)"
JUDGEMENT = (
    "CASE WHEN is_out_of_control THEN 'outside the limits'"
    " WHEN is_out_of_control IS NULL THEN 'not judged' ELSE 'within the limits' END"
)
TREND = rates(
    "Violation rate by day, with control limits",
    "violation_control_chart",
    x_axis="event_date",
    metrics=[
        sql_metric(OF_JUDGED_DAYS.format("control_limit_low"), LOWER_LIMIT),
        sql_metric(OF_JUDGED_DAYS.format("control_limit_high"), UPPER_LIMIT),
        value_of("center_line", CENTER_LINE),
        value_of("violation_rate_7_days", SEVEN_DAYS),
    ],
    group=sql_column(JUDGEMENT, "judgement"),
    columns="event_date violation_rate violation_rate_7_days center_line control_limit_low "
    "control_limit_high is_out_of_control",
    description="Dot: the day's rate. A day within its limits is no news. Partial days and days "
    "without events are not judged, hence have no limits.",
    seriesType="line",
    markerSizeB=7,
    x_axis_time_format="%Y-%m-%d",
    xAxisLabelInterval="auto",
    time_grain_sqla="P1D",
)
TREND_VERDICT = table(
    "Trend of the violation rate",
    "violation_trend",
    f"days {CHANGE_WITH_BOUNDS} verdict",
    order="days",
    description="Change per week with its interval.",
)
RISK = bars("Users", "compliance_by_user_risk_tier", "risk_tier", "users", COUNT)
RISK_TIERS = table(
    f"Events by {DIMENSIONS['risk_tier']['singular']} of their user",
    "compliance_by_user_risk_tier",
    f"risk_tier users events {RATE_WITH_BOUNDS}",
    order="display_order",
    description="A tier is a label of the observed rate, not evidence of risk.",
)
RISK_USERS = table(
    "Users by evidence of risk",
    "top_risk_users",
    "user_id events violation_events violation_rate shrunk_violation_rate p_adjusted risk_evidence",
    order="risk_rank",
    description="Somebody is first on any data: only `confirmed` is more than chance.",
)

HOW_TO_READ = """\
**How to read this.** Every rate stands with its interval. `differs`: more than chance explains, and
large enough to matter. `explained_by_mix`: so does this, but not among events of the same type and
sharing level. `no_evidence`: a difference may exist, but this data does not show one,
however the bars look. `too_few`: nobody could tell. Times are UTC.
"""
RISK_NOTE = """\
**User risk.** A *tier* sorts users by what was observed: one violation in one event is already
`high`, and the rates differ by construction, so no verdict applies. *Evidence* asks whether a user
has more violations than chance explains: `confirmed` does, adjusted for the number of users;
`watch` only before that adjustment.
"""

# Rows: the height in units of 8 pixels; charts and texts, each with its width, 12 together.
ROWS = (
    (60, ((KEY_FINDINGS, 8), (STATUS, 4))),
    (12, ((HOW_TO_READ, 12),)),
    (42, intervals("region", "compliance_by_region")),
    (42, intervals("regulation", "compliance_by_regulation")),
    (42, intervals("data_shared", "compliance_by_data_sharing")),
    (42, intervals("age_band", "compliance_by_age_band")),
    (42, intervals("weekday", "compliance_by_weekday")),
    (60, intervals("event_hour", "compliance_by_hour", order="event_hour")),
    (54, ((TREND, 8), (TREND_VERDICT, 4))),
    (12, ((RISK_NOTE, 12),)),
    (40, ((RISK, 4), (RISK_TIERS, 8))),
    (34, ((RISK_USERS, 12),)),
)
CHARTS = tuple(item for _, row in ROWS for item, _ in row if isinstance(item, Chart))


# --- the bundle ----------------------------------------------------------------------------------


def database_asset(database_path: str) -> dict[str, Any]:
    """Return the connection: read-only, and opened anew for each query."""
    return {
        "database_name": "OTT compliance",
        "sqlalchemy_uri": f"duckdb:///{database_path}",
        # Never cached, or a new release would show only when the cache expires.
        "cache_timeout": -1,
        "expose_in_sqllab": True,
        **dict.fromkeys(("allow_run_async", "allow_csv_upload"), False),
        **dict.fromkeys(("allow_ctas", "allow_cvas", "allow_dml"), False),
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
        "uuid": identifier("database"),
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
                **dict.fromkeys(("is_active", "groupby", "filterable"), True),
                "expression": None,
            }
            for column in table.columns
        ],
        "metrics": [],
        "uuid": identifier(f"dataset/{table.name}"),
        "database_uuid": identifier("database"),
    }


def chart_asset(chart: Chart) -> dict[str, Any]:
    """Return a chart with the query that Superset's API answers for it."""
    filters = {"adhoc_filters": [], "extra_form_data": {}}
    params = {"viz_type": chart.viz_type, **filters, **chart.params}
    context = {
        # Superset puts the number of the imported dataset here.
        "datasource": {"id": 0, "type": "table"},
        "force": False,
        "queries": chart.queries,
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
        "uuid": identifier(f"chart/{chart.name}"),
        "dataset_uuid": identifier(f"dataset/{chart.table}"),
    }


def positions(charts: Sequence[Chart]) -> dict[str, Any]:
    """Return the places of charts and texts on the dashboard, by their identifiers."""
    places: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": "OTT compliance"}},
    }

    def add(kind: str, number: str, parents: list[str], meta: dict[str, Any]) -> list[str]:
        place = f"{kind}-{number}"
        places[place] = dict(type=kind, id=place, children=[], parents=parents, meta=meta)
        places[parents[-1]]["children"].append(place)
        return [*parents, place]

    shown = [*charts, HOW_TO_READ, RISK_NOTE]
    rows = [(height, [cell for cell in row if cell[0] in shown]) for height, row in ROWS]
    for row_number, (height, row) in enumerate((row for row in rows if row[1]), start=1):
        background = {"background": "BACKGROUND_TRANSPARENT"}
        parents = add("ROW", f"{row_number}", ["ROOT_ID", "GRID_ID"], background)
        for cell_number, (content, width) in enumerate(row, start=1):
            kind, meta = "MARKDOWN", {"code": content}
            if isinstance(content, Chart):
                # Superset replaces it by the number of the imported chart.
                kind, meta = "CHART", {"chartId": CHARTS.index(content) + 1}
                meta |= {"sliceName": content.name, "uuid": identifier(f"chart/{content.name}")}
            size = {"width": width, "height": height}
            add(kind, f"{row_number}-{cell_number}", parents, {**size, **meta})
    return places


def dashboard_asset(release: Release, charts: Sequence[Chart]) -> dict[str, Any]:
    """Return the dashboard: the places of its charts, and the colours of their labels."""
    statuses = release.query(f"select status, color from {SCHEMA}.compliance_by_status")
    return {
        "dashboard_title": "OTT compliance",
        "description": "Privacy-compliance events: what differs, and what only looks as if it did.",
        "slug": "ott-compliance",
        "uuid": identifier("dashboard"),
        "position": positions(charts),
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
    }


def write_bundle(output: Path, assets: dict[str, Any]) -> None:
    """Write assets by their names to a ZIP file, the same ones to the same bytes."""
    with whole_file(output) as unfinished, zipfile.ZipFile(unfinished, "w") as bundle:
        for name, asset in sorted(assets.items()):
            entry = zipfile.ZipInfo(f"ott_compliance/{name}.yaml", date_time=ZIP_TIME)
            # Set, because both depend on the platform.
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            # Copied, as Superset's files have no aliases for what an asset holds more than once.
            content = json.loads(json.dumps({**asset, "version": "1.0.0"}))
            text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100)
            bundle.writestr(entry, text)


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
        # Those of single users are missing when the release leaves their tables out.
        charts = [chart for chart in CHARTS if chart.table in release.tables]
        assets = {
            # Without a `type`, Superset imports the bundle as a dashboard and as assets.
            "metadata": {"timestamp": "1980-01-01T00:00:00+00:00"},
            "databases/ott_compliance": database_asset(database_path or str(release_file)),
            "dashboards/ott_compliance": dashboard_asset(release, charts),
        }
        for chart in charts:
            table = release.tables[chart.table]
            assets[f"datasets/ott_compliance/{table.name}"] = dataset_asset(table)
            file_name = "".join(c if c.isalnum() else "_" for c in chart.name.lower())
            assets[f"charts/{file_name}"] = chart_asset(chart)
    write_bundle(output, assets)
    return len(charts)
