"""Write one HTML file that shows the published tables: findings, charts, and a table behind each.

The file needs no network, no server and no other file. Every number in it stands in the schema
`marts` of a release; nothing is estimated here.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

import duckdb
import vl_convert

PROJECT = Path(__file__).resolve().parent.parent
PAGE = Path(__file__).with_suffix("")
DATABASE = "ott_compliance.duckdb"
# More points hide each other and make the file slow; the caption says when users are left out.
MAXIMUM_USERS_DRAWN = 1000
# Personal data: a release may leave these tables out.
OPTIONAL_TABLES = {"dim_users", "top_risk_users"}

Row = dict[str, Any]
Spec = dict[str, Any]


class ReportError(Exception):
    """A reason, in one sentence, why no report can be written."""


# --- the release ---------------------------------------------------------------------------------


def database_file(release: Path) -> Path:
    """Return the database file of a release.

    `release` is that file, a folder that holds it, or the folder of all releases.
    Raises ReportError when there is none.
    """
    for candidate in (release, release / DATABASE, release / "current" / DATABASE):
        if candidate.is_file():
            return candidate
    raise ReportError(
        f"There is no release at {release}: run `make build` first, or name one with --release."
    )


class Release:
    """The tables of one release, read-only, each read once."""

    def __init__(self, file: Path) -> None:
        """Open the database; raises ReportError when it cannot be read."""
        try:
            self._connection = duckdb.connect(str(file), read_only=True)
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReportError(f"{file} cannot be opened as a DuckDB database: {reason}") from error
        self.file = file
        self._tables: dict[str, list[Row]] = {}

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def rows(self, table: str) -> list[Row]:
        """Return a table of the schema `marts`, in display order where it has one.

        An optional table that the release lacks is empty; any other raises ReportError. Of the
        users, no more than `MAXIMUM_USERS_DRAWN` are returned: all confirmed ones, then others
        picked by a hash of their id, which favours nobody and is the same in every report.
        """
        if table not in self._tables:
            order = "1"
            if "display_order" in self.columns(table):
                order = "display_order"
            elif table == "dim_users":
                order = "risk_evidence = 'confirmed' desc, md5(cast(user_id as varchar)), user_id"
            limit = f"limit {MAXIMUM_USERS_DRAWN}" if table == "dim_users" else ""
            self._tables[table] = self._read(f'from marts."{table}" order by {order} {limit}')
        return self._tables[table]

    def columns(self, table: str) -> list[str]:
        """Return the column names of a table, none if it is optional and missing."""
        found = self._read(
            "select column_name from information_schema.columns "
            f"where table_schema = 'marts' and table_name = '{table}' order by ordinal_position"
        )
        if not found and table not in OPTIONAL_TABLES:
            raise ReportError(
                f"{self.file} has no table marts.{table}: run `make build` to publish it anew."
            )
        return [row["column_name"] for row in found]

    def _read(self, query: str) -> list[Row]:
        if 'from marts."' in query and not self.columns(query.split('"')[1]):
            return []
        try:
            result = self._connection.execute(query)
            names = [column[0] for column in result.description]
            return [
                {name: _plain(value) for name, value in zip(names, values, strict=True)}
                for values in result.fetchall()
            ]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise ReportError(f"{self.file} cannot be read: {reason}") from error

    @cached_property
    def summary(self) -> dict[str, Row]:
        """Rows of `compliance_summary` by metric."""
        return {row["metric"]: row for row in self.rows("compliance_summary")}

    @property
    def violation_rate(self) -> float | None:
        """Violation rate of all events, a fraction; None without events."""
        return self.summary["violation_rate"]["value_number"]

    @cached_property
    def manifest(self) -> Row:
        """Content of the file manifest.json beside the database; empty when there is none."""
        try:
            content = json.loads((self.file.parent / "manifest.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _plain(value: Any) -> Any:
    return None if value != value else value  # NaN is the only value unequal to itself


# --- values as text ------------------------------------------------------------------------------

VERDICTS = {
    "differs": "differs",
    "no_evidence": "no evidence of a difference",
    "too_few": "too few events to tell",
    None: "not compared",
}
EVIDENCE = {
    "confirmed": "confirmed",
    "watch": "watch: not more than chance, given so many users",
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
    "dimension": ("Dimension", lambda value: value.replace("_", " ")),
    "members": ("Members", count),
    "cramers_v": ("Cramer's V", lambda value: decimal(value, 3)),
    "design_effect": ("Design effect", lambda value: decimal(value, 2)),
    "days": ("Whole days", count),
    "change_per_week": ("Points a week", points),
    "change_per_week_low": ("Interval from", points),
    "change_per_week_high": ("Interval to", points),
    "detectable_change": ("Points detectable", points),
}
NAMES = {text, VERDICTS.__getitem__, yes_no, hour, moment}
SHARES = ("compliant_rate", "warning_rate", "violation_rate")
RATE = (
    *("events", "violation_events", "violation_rate", "violation_rate_low", "violation_rate_high"),
    *("rate_difference", "detectable_difference", "p_adjusted", "verdict"),
)


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


# --- drawing -------------------------------------------------------------------------------------
# Colours are CSS variables and patterns of the page, so that charts follow light, dark and print
# without being drawn anew. Charts are Vega-Lite, compiled to Vega here: the page carries no more
# than the Vega runtime.

INK, MUTED, SURFACE, BAR = "var(--ink)", "var(--muted)", "var(--surface)", "var(--bar)"
VIOLATION = "var(--status-violation)"
CONFIG: Spec = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "aria": False,  # the page describes each chart as one image, with a table beside it
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor"), "var(--ink-soft)"),
        **dict.fromkeys(("domainColor", "tickColor"), "var(--line)"),
        "gridColor": "var(--grid)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelFlush": False,
    },
    "legend": {"labelColor": "var(--ink-soft)", "titleColor": "var(--ink-soft)"},
    "text": {"color": INK, "fontSize": 12},
    "rule": {"color": INK},
}
PERCENT_LABEL = "format(datum.value * 100, '.3~g') + '\u00a0%'"
DAY = 24 * 60 * 60 * 1000  # milliseconds, the unit of time in Vega


def axis(title: str | None, **options: Any) -> Spec:
    """Return a Vega-Lite axis with a title."""
    return {"title": title, **options}


def percent_axis(title: str, **options: Any) -> Spec:
    """Return an axis that writes fractions as percent."""
    return axis(title, labelExpr=PERCENT_LABEL, tickCount=5, **options)


def when(field: str, values: Mapping[str, Any], default: Any) -> Spec:
    """Return an encoding whose value depends on a text field."""
    conditions = [
        {"test": f"datum.{field} === '{name}'", "value": value} for name, value in values.items()
    ]
    return {"condition": conditions, "value": default}


VERDICT_FILL = when("verdict", {"differs": VIOLATION, "no_evidence": SURFACE}, MUTED)
VERDICT_STROKE = when("verdict", {"differs": VIOLATION}, MUTED)
VERDICT_SHAPE = when("verdict", {"differs": "diamond", "too_few": "cross"}, "circle")


def layered(data: list[Row], *layers: Spec, height: Any = 240, **rest: Any) -> Spec:
    """Return a chart as wide as its place on the page."""
    return {"data": {"values": data}, "width": "container", "height": height} | {
        "layer": list(layers),
        **rest,
    }


def headings(limit: float = 0.5) -> list[Spec]:
    """Return the text above each row of a chart of rows: its name left, a remark right.

    Names above the rows leave the whole width to the data, on a phone as well. `limit` is the
    fraction of the width that the name may take.
    """
    shared = {"type": "text", "baseline": "bottom", "yOffset": -4}
    return [
        {
            "mark": {**shared, "align": "left", "fontWeight": 600, "limit": {"expr": share}},
            "encoding": {"x": {"value": 0}, "text": {"field": "heading"}},
        }
        if field == "heading"
        else {
            "mark": {**shared, "align": "right", "fontSize": 11, "limit": {"expr": share}},
            "encoding": {
                "x": {"value": "width"},
                "text": {"field": "remark"},
                "color": when("verdict", {"differs": INK}, "var(--ink-soft)"),
            },
        }
        for field, share in (("heading", f"width * {limit}"), ("remark", f"width * {1 - limit}"))
    ]


def in_rows(data: list[Row], *layers: Spec, limit: float = 0.5, step: int = 46, **rest) -> Spec:
    """Return a chart with one row of marks a name, in the order of the data."""
    rows = {"field": "name", "type": "nominal", "sort": None, "axis": None}
    return layered(
        data,
        *layers,
        *headings(limit),
        height={"step": step},
        encoding={"y": {**rows, "scale": {"padding": 0}}},
        **rest,
    )


def verdict_remark(row: Row) -> str:
    """Return what the data says about a member, short enough to stand beside its name."""
    if row["events"] == 0:
        return "no events"
    if row["verdict"] == "differs":
        sign = "▲" if row["rate_difference"] > 0 else "▼"
        return f"{sign} differs: {points(row['rate_difference'])} points"
    return VERDICTS[row["verdict"]] if row["verdict"] else ""


def rate_rows(rows: Iterable[Row], member: str) -> list[Row]:
    """Return what charts of violation rates need of a breakdown."""
    return [
        {
            "name": text(row[member]),
            "heading": f"{text(row[member])}   {percent(row['violation_rate'])}",
            "remark": verdict_remark(row),
            "rate": row["violation_rate"],
            "low": row["violation_rate_low"],
            "high": row["violation_rate_high"],
            "verdict": row["verdict"],
            "tip": f"{text(row[member])}: {percent(row['violation_rate'])}, interval "
            f"{percent(row['violation_rate_low'])} to {percent(row['violation_rate_high'])}, "
            f"{count(row['events'])} events",
        }
        for row in rows
    ]


def highest(data: Iterable[Row], *fields: str) -> float:
    """Return the largest value of the fields, so that an axis can hold all of them."""
    return max((row[field] for row in data for field in fields if row[field] is not None), default=0)


def rate_layers(release: Release, domain: list[float]) -> list[Spec]:
    """Return rates as points, their intervals as bars, and the overall rate as a dashed line."""
    scale = {"domain": domain, "nice": True}
    x = {"type": "quantitative", "scale": scale, "axis": percent_axis("Violation rate")}
    low, high = {**x, "field": "low"}, {"field": "high"}
    offset = {"yOffset": 9}
    cap = {"type": "tick", "thickness": 1.5, "size": 8, "orient": "vertical", **offset}
    return [
        {
            "data": {"values": [{"overall": release.violation_rate}]},
            "mark": {"type": "rule", "strokeDash": [4, 3], "opacity": 0.7},
            "encoding": {"x": {**x, "field": "overall"}, "y": {"value": 0}}
            | {"y2": {"value": "height"}},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2, **offset},
            "encoding": {"x": low, "x2": high, "color": VERDICT_STROKE},
        },
        {"mark": cap, "encoding": {"x": low, "color": VERDICT_STROKE}},
        {"mark": cap, "encoding": {"x": {**x, "field": "high"}, "color": VERDICT_STROKE}},
        {
            "mark": {"type": "point", "size": 90, "strokeWidth": 1.5, "opacity": 1, **offset},
            "encoding": {
                "x": {**x, "field": "rate"},
                "fill": VERDICT_FILL,
                "stroke": VERDICT_STROKE,
                "shape": VERDICT_SHAPE,
                "tooltip": {"field": "tip"},
            },
        },
    ]


Draw = Callable[[list[Row], Release], Spec]


def rates(member: str) -> Draw:
    """Return the chart of the violation rates of the members of a dimension."""

    def draw(rows: list[Row], release: Release) -> Spec:
        data = rate_rows(rows, member)
        domain = [0, highest(data, "rate", "high")]
        return in_rows(data, *rate_layers(release, domain), limit=0.48)

    return draw


def rates_within_region(rows: list[Row], release: Release) -> Spec:
    """Draw the rates of the regulations within the region that the reader picks."""
    data = [
        {**drawn, "region": text(row["region"])}
        for drawn, row in zip(rate_rows(rows, "regulation"), rows, strict=True)
    ]
    # One axis for all regions, so that a pick can be compared with the one before.
    domain = [0, highest(data, "rate", "high")]
    return in_rows(
        data,
        *rate_layers(release, domain),
        limit=0.48,
        params=[{"name": "region", "value": data[0]["region"]}],
        transform=[{"filter": "datum.region === region"}],
    )


def status_color(release: Release) -> Spec:
    """Return the encoding that gives each status its own colour and pattern."""
    statuses = [row["status"] for row in release.rows("compliance_by_status")]
    return {
        "field": "status",
        "scale": {"domain": statuses, "range": [f"url(#status-{name})" for name in statuses]},
        "legend": None,
    }


def status_filter(release: Release) -> Spec:
    """Return the part of a chart that leaves only the statuses that the reader picks."""
    statuses = [row["status"] for row in release.rows("compliance_by_status")]
    return {
        "params": [{"name": "statuses", "value": statuses}],
        "transform": [{"filter": "indexof(statuses, datum.status) >= 0"}],
    }


def stacked(member: str, measure: str) -> Draw:
    """Return the chart of a dimension by status; `measure` is `rate` or `events`."""

    def draw(rows: list[Row], release: Release) -> Spec:
        statuses = [row["status"] for row in release.rows("compliance_by_status")]
        write = percent if measure == "rate" else count
        names, parts = [], []
        for row in rows:
            values = [row[f"{status}_{measure}"] for status in statuses]
            written = " · ".join(write(value) for value in values)
            names.append({"name": text(row[member]), "heading": text(row[member])})
            names[-1]["remark"] = written if row["events"] else "no events"
            parts += [
                {"name": text(row[member]), "status": status, "order": order, "value": value}
                | {"tip": f"{text(row[member])}, {status}: {write(value)}"}
                for order, (status, value) in enumerate(zip(statuses, values, strict=True))
            ]
        share = percent_axis("Share of the events")
        bars = {
            "data": {"values": parts},
            "mark": {"type": "bar", "height": 14, "yOffset": 8, "stroke": SURFACE},
            "encoding": {
                "x": {"field": "value", "type": "quantitative"}
                | {"axis": share if measure == "rate" else axis("Events", tickCount=5)},
                "fill": status_color(release),
                "order": {"field": "order"},
                "tooltip": {"field": "tip"},
            },
        }
        choice = status_filter(release)
        bars["transform"] = choice.pop("transform")
        return in_rows(names, bars, limit=0.42, step=42, **choice)

    return draw


def statuses(rows: list[Row], release: Release) -> Spec:
    """Draw the events of each status."""
    data = [
        {"name": row["status"], "status": row["status"], "value": row["events"]}
        | {"heading": row["status"], "tip": f"{row['status']}: {percent(row['event_share'])}"}
        | {"remark": f"{percent(row['event_share'])} · {count(row['events'])} events"}
        for row in rows
    ]
    bars = {
        "mark": {"type": "bar", "height": 18, "yOffset": 10, "stroke": SURFACE},
        "encoding": {
            "x": {"field": "value", "type": "quantitative", "axis": axis("Events", tickCount=5)},
            "fill": status_color(release),
            "tooltip": {"field": "tip"},
        },
    }
    return in_rows(data, bars, limit=0.4, step=48, **status_filter(release))


def bars(member: str, value: str, share: str, unit: str, limit: float = 0.5) -> Draw:
    """Return the chart of a number a member; members without any are left to the table."""

    def draw(rows: list[Row], release: Release) -> Spec:
        data = [
            {"name": text(row[member]), "heading": text(row[member]), "value": row[value]}
            | {"remark": f"{count(row[value])} {unit}"}
            for row in rows
        ]
        if share:
            for drawn, row in zip(data, rows, strict=True):
                drawn["remark"] += f" · {percent(row[share])}"
        mark = {"type": "bar", "height": 14, "yOffset": 8, "color": BAR}
        x = {"field": "value", "type": "quantitative"}
        scale = axis(unit.capitalize(), tickCount=5, tickMinStep=1)
        return in_rows(
            data, {"mark": mark, "encoding": {"x": {**x, "axis": scale}}}, limit=limit, step=42
        )

    return draw


def region_by_regulation(rows: list[Row], release: Release) -> Spec:
    """Draw the violation rate of each combination as a grid."""
    data = [
        {
            "region": text(row["region"]),
            "regulation": text(row["regulation"]),
            "verdict": row["verdict"] if row["events"] else "empty",
            "rate": row["violation_rate"],
            "label": percent(row["violation_rate"]) if row["events"] else "",
            "remark": grid_remark(row),
            "tip": f"{row['region']} under {row['regulation']}: {percent(row['violation_rate'])} "
            f"of {count(row['events'])} events, {VERDICTS[row['verdict']]}",
        }
        for row in rows
    ]
    labels = {"labelFontSize": 11, "domain": False, "ticks": False, "labelLimit": 70}
    side = {"type": "nominal", "scale": {"paddingInner": 0.04}}
    regions = [text(row["region"]) for row in release.rows("compliance_by_region")]
    regulations = [text(row["regulation"]) for row in release.rows("compliance_by_regulation")]
    cell = {"type": "rect", "cornerRadius": 3}
    ink = when("verdict", {"differs": "var(--on-violation)"}, INK)
    soft = when("verdict", {"differs": "var(--on-violation)"}, "var(--ink-soft)")
    return layered(
        data,
        {
            "transform": [{"filter": "datum.verdict !== 'differs'"}],
            "mark": cell,
            "encoding": {
                "fill": {
                    "field": "rate",
                    "type": "quantitative",
                    "scale": {
                        "type": "quantize",
                        "domain": [0, highest(data, "rate")],
                        "range": [f"var(--noise-{step})" for step in range(1, 6)],
                    },
                    "legend": None,
                },
                "tooltip": {"field": "tip"},
            },
        },
        {
            "transform": [{"filter": "datum.verdict === 'differs'"}],
            "mark": {**cell, "fill": VIOLATION},
            "encoding": {"tooltip": {"field": "tip"}},
        },
        {
            "mark": {"type": "text", "yOffset": -7, "fontSize": 11.5},
            "encoding": {"text": {"field": "label"}, "color": ink},
        },
        {
            "mark": {"type": "text", "yOffset": 8, "fontSize": 9.5},
            "encoding": {"text": {"field": "remark"}, "color": soft},
        },
        height={"step": 46},
        encoding={
            "x": {**side, "field": "regulation", "sort": regulations}
            | {"axis": axis(None, orient="top", labelAngle=0, **labels)},
            "y": {**side, "field": "region", "sort": regions, "axis": axis(None, **labels)},
        },
    )


def grid_remark(row: Row) -> str:
    """Return the second line of a cell; most cells are noise and keep silent about it."""
    if row["events"] == 0:
        return "no events"
    if row["verdict"] == "differs":
        return f"{'▲' if row['rate_difference'] > 0 else '▼'} {points(row['rate_difference'])}"
    return "too few" if row["verdict"] == "too_few" else ""


def histogram(title: str, unit: str, mean: bool = False, rare: bool = False) -> Draw:
    """Return the chart of a histogram.

    `mean` marks the mean session duration; `rare` asks for a logarithmic axis, without which
    small bins vanish beside one that holds nearly all.
    """

    def draw(rows: list[Row], release: Release) -> Spec:
        largest = highest(rows, "frequency")
        y_axis = axis(unit)
        if rare:
            powers = [10**power for power in range(len(str(largest))) if 10**power <= largest]
            y_axis = axis(f"{unit} (logarithmic)", values=[0, *powers])
        scale = {"type": "symlog", "constant": 1} if rare else {"type": "linear"}
        in_percent = "rate" in title
        data = [
            {"start": row["bin_start"], "end": row["bin_end"], "value": row["frequency"]}
            | {"tip": f"{bin_text(row, in_percent)}: {count(row['frequency'])} {unit.lower()}"}
            for row in rows
        ]
        x_axis = percent_axis(title) if in_percent else axis(title, tickCount=8)
        x = {"type": "quantitative", "axis": x_axis, "scale": {"zero": False}}
        layers = [
            {
                "mark": {"type": "bar", "color": BAR, "stroke": SURFACE, "strokeWidth": 0.5},
                "encoding": {
                    "x": {**x, "field": "start"},
                    "x2": {"field": "end"},
                    "y": {"field": "value", "type": "quantitative", "axis": y_axis}
                    | {"scale": {**scale, "domain": [0, largest]}},
                    "y2": {"datum": 0},
                    "tooltip": {"field": "tip"},
                },
            }
        ]
        if mean:
            value = release.rows("session_duration_statistics")[0]["mean_minutes"]
            at_mean = {"data": {"values": [{"mean": value, "label": f"mean {decimal(value)} min"}]}}
            place = {"x": {**x, "field": "mean"}, "y": {"value": 0}}
            layers += [
                {
                    **at_mean,
                    "mark": {"type": "rule", "strokeDash": [5, 3], "strokeWidth": 1.5},
                    "encoding": {**place, "y2": {"value": "height"}},
                },
                {
                    **at_mean,
                    "mark": {"type": "text", "align": "left", "dx": 6, "dy": 8}
                    | {"fontWeight": 600},
                    "encoding": {**place, "text": {"field": "label"}},
                },
            ]
        return layered(data, *layers)

    return draw


def bin_text(row: Row, in_percent: bool) -> str:
    """Return the edges of a histogram bin."""
    write = percent if in_percent else decimal
    return f"{write(row['bin_start'])} to {write(row['bin_end'])}"


def duration_box(rows: list[Row], release: Release) -> Spec:
    """Draw the quartiles, the ends, the median and the mean of the session duration."""

    def x(field: str, **rest: Any) -> Spec:
        return {"x": {"field": field, "type": "quantitative", **rest}}

    scale = {"axis": axis("Session duration (minutes)", tickCount=8)}
    box = {"type": "bar", "height": 30, "color": BAR}
    median = {"type": "tick", "thickness": 3, "size": 30, "color": INK}
    diamond = {"type": "point", "shape": "diamond", "size": 110, "opacity": 1}
    return layered(
        rows,
        {
            "mark": {"type": "rule", "color": MUTED, "strokeWidth": 2},
            "encoding": x("min_minutes", **scale) | {"x2": {"field": "max_minutes"}},
        },
        {"mark": box, "encoding": x("p25_minutes") | {"x2": {"field": "p75_minutes"}}},
        {"mark": {**median, "orient": "vertical"}, "encoding": x("median_minutes")},
        {
            "mark": {**diamond, "fill": SURFACE, "stroke": INK, "strokeWidth": 1.5},
            "encoding": x("mean_minutes"),
        },
        height=70,
    )


HOURS = {
    "field": "event_hour",
    "type": "ordinal",
    "axis": axis("Hour of the day (UTC)", values=list(range(0, 24, 3)), labelAngle=0),
}


def events_by_hour(rows: list[Row], release: Release) -> Spec:
    """Draw the events of each hour of the day."""
    data = [
        {"event_hour": row["event_hour"], "value": row["events"]}
        | {"tip": f"{hour(row['event_hour'])}: {count(row['events'])} events"}
        for row in rows
    ]
    y = {"field": "value", "type": "quantitative", "axis": axis("Events")}
    encoding = {"x": HOURS, "y": y, "tooltip": {"field": "tip"}}
    return layered(data, {"mark": {"type": "bar", "color": BAR}, "encoding": encoding})


def rates_by_hour(rows: list[Row], release: Release) -> Spec:
    """Draw the violation rate of each hour of the day with its interval."""
    data = [
        {**drawn, "event_hour": row["event_hour"], "label": "differs"}
        for drawn, row in zip(rate_rows(rows, "event_hour"), rows, strict=True)
    ]
    differs = "datum.verdict === 'differs'"
    # Room for the labels that stand upright on the intervals.
    room = 1.25 if any(row["verdict"] == "differs" for row in rows) else 1
    domain = [0, room * highest(data, "high")]
    y = {"type": "quantitative", "scale": {"domain": domain, "nice": True}}
    y["axis"] = percent_axis("Violation rate")
    return layered(
        data,
        {
            "data": {"values": [{"overall": release.violation_rate}]},
            "mark": {"type": "rule", "strokeDash": [4, 3], "opacity": 0.7},
            "encoding": {"y": {**y, "field": "overall"}},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"x": HOURS, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
            | {"color": VERDICT_STROKE},
        },
        {
            "mark": {"type": "point", "size": 50, "strokeWidth": 1.5, "opacity": 1},
            "encoding": {
                "x": HOURS,
                "y": {**y, "field": "rate"},
                "fill": VERDICT_FILL,
                "stroke": VERDICT_STROKE,
                "shape": VERDICT_SHAPE,
                "tooltip": {"field": "tip"},
            },
        },
        {
            "transform": [{"filter": differs}],
            "mark": {"type": "text", "angle": 270, "align": "left", "dx": 4, "fontSize": 11},
            "encoding": {"x": HOURS, "y": {**y, "field": "high"}, "text": {"field": "label"}},
        },
    )


def day_rows(rows: list[Row]) -> list[Row]:
    """Return what charts of days need; moments in milliseconds since 1970, UTC."""

    def start(day: date) -> int:
        return int(datetime.combine(day, time(), UTC).timestamp() * 1000)

    return [
        {
            "day": start(row["event_date"]),
            "noon": start(row["event_date"]) + DAY // 2,
            "end": start(row["event_date"]) + DAY,
            "events": row["events"],
            "rate": row["violation_rate"],
            "low": row["control_limit_low"],
            "high": row["control_limit_high"],
            "seven": row["violation_rate_7_days"],
            "kind": "partial"
            if row["is_partial_day"]
            else "outside"
            if row["is_out_of_control"]
            else "inside",
            "tip": f"{row['event_date']}: {percent(row['violation_rate'])} of "
            f"{count(row['events'])} events"
            + (", partial day" if row["is_partial_day"] else "")
            + (", outside the limits" if row["is_out_of_control"] else ""),
        }
        for row in rows
    ]


def day_axis(**scale: Any) -> Spec:
    """Return a time axis in UTC; its domain is fixed, so that a brush has something to pick."""
    days = axis("Day (UTC)", format="%-d %b", tickCount={"expr": "max(2, width / 80)"})
    return {"type": "temporal", "scale": {"type": "utc", **scale}} | {
        "axis": {**days, "tickMinStep": DAY, "labelOverlap": True, "grid": False}
    }


def events_by_day(rows: list[Row], release: Release) -> Spec:
    """Draw the events of each day; dragging over them picks days."""
    data = day_rows(rows)
    x = day_axis(domain=[data[0]["day"], data[-1]["end"]], nice=False)
    return layered(
        data,
        {
            "params": [{"name": "brush", "select": {"type": "interval", "encodings": ["x"]}}],
            "mark": {"type": "bar", "stroke": SURFACE, "strokeWidth": 1},
            "encoding": {
                "x": {**x, "field": "day"},
                "x2": {"field": "end"},
                "y": {"field": "events", "type": "quantitative", "axis": axis("Events")},
                "fill": when("kind", {"partial": "url(#partial)"}, BAR),
                "tooltip": {"field": "tip"},
            },
        },
        height=150,
    )


def rates_by_day(rows: list[Row], release: Release) -> Spec:
    """Draw the control chart of the picked days."""
    data = day_rows(rows)
    x = day_axis(domainMin={"expr": "days[0]"}, domainMax={"expr": "days[1]"}, nice=False)
    noon = {"x": {**x, "field": "noon"}}
    domain = [0, highest(data, "rate", "high")]
    y = {"type": "quantitative", "scale": {"domain": domain, "nice": True}}
    y["axis"] = percent_axis("Violation rate")
    center = release.rows("violation_control_chart")[0]["center_line"]
    symbol = when("kind", {"outside": "diamond", "partial": "square"}, "circle")
    return layered(
        data,
        {
            "mark": {"type": "bar", "color": "var(--band)"},
            "encoding": {"x": {**x, "field": "day"}, "x2": {"field": "end"}}
            | {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "data": {"values": [{"center": center}]},
            "mark": {"type": "rule", "strokeDash": [4, 3], "opacity": 0.7},
            "encoding": {"y": {**y, "field": "center"}},
        },
        {
            "mark": {"type": "line", "color": INK, "strokeWidth": 2},
            "encoding": {**noon, "y": {**y, "field": "seven"}},
        },
        {
            "mark": {"type": "point", "size": 45, "opacity": 1, "strokeWidth": 1.5},
            "encoding": {
                **noon,
                "y": {**y, "field": "rate"},
                "shape": symbol,
                "fill": when("kind", {"outside": VIOLATION, "partial": SURFACE}, MUTED),
                "stroke": when("kind", {"outside": VIOLATION}, MUTED),
                "tooltip": {"field": "tip"},
            },
        },
        {
            "transform": [{"filter": "datum.kind !== 'inside'"}],
            "mark": {"type": "text", "angle": 270, "align": "left", "dx": 7, "fontSize": 11},
            "encoding": {**noon, "y": {**y, "field": "rate"}, "text": {"field": "kind"}},
        },
        params=[{"name": "days", "value": [data[0]["day"], data[-1]["end"]]}],
        transform=[{"filter": "datum.day >= days[0] && datum.end <= days[1]"}],
        height=260,
    )


def users(rows: list[Row], release: Release) -> Spec:
    """Draw users by mean session duration, violation rate, age and number of events."""
    data = [
        {
            "duration": row["average_session_duration_minutes"],
            "rate": row["violation_rate"],
            "age": row["user_age"],
            "events": row["events"],
            "evidence": row["risk_evidence"],
            "tip": f"user {row['user_id']}, age {row['user_age']}: "
            f"{percent(row['violation_rate'])} of {count(row['events'])} events, "
            f"{decimal(row['average_session_duration_minutes'])} min on average",
        }
        for row in rows
    ]
    legend = {"orient": "bottom", "direction": "horizontal", "columns": 5}
    ages = {"type": "quantize", "range": [f"var(--age-{step})" for step in range(1, 6)]}
    largest = highest(data, "events")
    x = {"field": "duration", "type": "quantitative"}
    x["axis"] = axis("Mean session duration (minutes)", tickCount=6)
    y = {"field": "rate", "type": "quantitative", "axis": percent_axis("Violation rate")}
    return layered(
        data,
        {
            "mark": {"type": "point", "opacity": 0.75, "strokeWidth": 0.7, "stroke": INK},
            "encoding": {
                "x": x,
                "y": y,
                "size": {"field": "events", "type": "quantitative", "title": "Events"}
                | {"scale": {"domain": [0, largest], "range": [8, 320]}}
                | {"legend": {**legend, "symbolFillColor": MUTED, "tickCount": 3}},
                "fill": {"field": "age", "type": "quantitative", "title": "Age (years)"}
                | {"scale": ages, "legend": {**legend, "format": ".0f"}},
                "shape": when("evidence", {"confirmed": "diamond"}, "circle"),
                "tooltip": {"field": "tip"},
            },
        },
        {
            "transform": [{"filter": "datum.evidence === 'confirmed'"}],
            "mark": {"type": "text", "dy": -13, "fontWeight": 600},
            "encoding": {"x": x, "y": y, "text": {"value": "confirmed"}},
        },
        height=320,
    )


def correlations(rows: list[Row], release: Release) -> Spec:
    """Draw the correlation of each pair of metrics as a grid."""
    order = list(METRICS)
    data = []
    for row in rows:
        # The lower triangle: each pair once, the earlier metric across.
        across, down = sorted(
            (row["metric_x"], row["metric_y"]),
            key=lambda name: order.index(name) if name in order else len(order),
        )
        data.append(
            {
                "across": METRICS.get(across, across),
                "down": METRICS.get(down, down),
                "pearson": row["pearson"],
                "label": decimal(row["pearson"], 2),
                "p": f"p {probability(row['p_value'])}",
                "tip": f"{across} and {down}: Pearson {decimal(row['pearson'], 3)}, "
                f"Spearman {decimal(row['spearman'], 3)}",
            }
        )
    labels = {"domain": False, "ticks": False, "labelAngle": 0}
    side = {"type": "nominal", "sort": list(METRICS.values()), "scale": {"paddingInner": 0.04}}
    diverging = {"type": "quantize", "domain": [-1, 1]}
    diverging["range"] = [f"var(--correlation-{step})" for step in range(1, 8)]
    return layered(
        data,
        {
            "mark": {"type": "rect", "cornerRadius": 3},
            "encoding": {
                "fill": {"field": "pearson", "type": "quantitative", "scale": diverging}
                | {"legend": None},
                "tooltip": {"field": "tip"},
            },
        },
        {
            "mark": {"type": "text", "yOffset": -7, "fontWeight": 600},
            "encoding": {"text": {"field": "label"}},
        },
        {
            "mark": {"type": "text", "yOffset": 9, "fontSize": 10},
            "encoding": {"text": {"field": "p"}},
        },
        height={"step": 52},
        encoding={
            "x": {**side, "field": "across", "axis": axis(None, **labels)},
            "y": {**side, "field": "down", "axis": axis(None, **labels)},
        },
    )


# --- what the report shows -----------------------------------------------------------------------


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
    draw: Draw | None
    note: str
    control: str = ""
    drawn: Callable[[Row], bool] = bool
    empty: str = "There are no events to draw."
    wide: bool = False


SECTIONS = (
    Section("status", "Compliance status"),
    Section("regions", "Regions", dimensions=("region",)),
    Section("regulations", "Regulations", dimensions=("regulation", "region_and_regulation")),
    Section(
        "events", "Event types and sessions", dimensions=("event_type", "concurrent_streams")
    ),
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

RATE_NOTE = "Bars are intervals, the dashed line is the rate of all events."
SHARE_NOTE = "Beside each name: compliant, warning, violation. Choose statuses to compare them."
STATUS_COUNTS = ("compliant_events", "warning_events", "violation_events")
CHARTS = (
    Chart(
        *("status", "status", "Events by status", "compliance_by_status"),
        ("status", "events", "event_share", "users"),
        statuses,
        "Every accepted event has exactly one status.",
        control="statuses",
    ),
    Chart(
        *("region-rate", "regions", "Violation rate by region", "compliance_by_region"),
        ("region", *RATE),
        rates("region"),
        RATE_NOTE,
    ),
    Chart(
        *("region-share", "regions", "Status shares by region", "compliance_by_region"),
        ("region", "events", *SHARES),
        stacked("region", "rate"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("region-events", "regions", "Events by region", "compliance_by_region"),
        ("region", "events", "event_share", "users"),
        bars("region", "events", "event_share", "events"),
        "Number of events and their share of all events.",
    ),
    Chart(
        *("regulation-rate", "regulations", "Violation rate by regulation"),
        "compliance_by_regulation",
        ("regulation", *RATE),
        rates("regulation"),
        RATE_NOTE,
    ),
    Chart(
        *("regulation-events", "regulations", "Events by regulation and status"),
        "compliance_by_regulation",
        ("regulation", "events", *STATUS_COUNTS),
        stacked("regulation", "events"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("region-regulation", "regulations", "Violation rate by region and regulation"),
        "compliance_by_region_and_regulation",
        ("region", "regulation", *RATE),
        region_by_regulation,
        "Only cells in the colour of violations, marked ▲ or ▼, differ from the rest. Grey cells "
        "show no evidence of a difference, however dark; in those marked \u201ctoo few\u201d "
        "nobody could tell.",
    ),
    Chart(
        *("regulation-within-region", "regulations", "Violation rate within one region"),
        "compliance_by_region_and_regulation",
        ("region", "regulation", *RATE),
        rates_within_region,
        f"{RATE_NOTE} The axis is the same for every region.",
        control="region",
    ),
    Chart(
        *("event-type-rate", "events", "Violation rate by event type", "compliance_by_event_type"),
        ("event_type", *RATE),
        rates("event_type"),
        RATE_NOTE,
    ),
    Chart(
        *("event-type-share", "events", "Status shares by event type", "compliance_by_event_type"),
        ("event_type", "events", *SHARES),
        stacked("event_type", "rate"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("event-type-events", "events", "Events by type", "compliance_by_event_type"),
        ("event_type", "events", "event_share", "users"),
        bars("event_type", "events", "event_share", "events"),
        "Number of events and their share of all events.",
    ),
    Chart(
        *("streams-events", "events", "Events by concurrent streams"),
        "compliance_by_concurrent_streams",
        ("concurrent_streams", "events", "event_share", "users"),
        bars("concurrent_streams", "events", "event_share", "events"),
        "How many streams ran at once.",
    ),
    Chart(
        *("streams-rate", "events", "Violation rate by concurrent streams"),
        "compliance_by_concurrent_streams",
        ("concurrent_streams", *RATE),
        rates("concurrent_streams"),
        RATE_NOTE,
    ),
    Chart(
        *("duration", "events", "Session duration", "session_duration_histogram"),
        ("bin_number", "bin_start", "bin_end", "frequency"),
        histogram("Session duration (minutes)", "Events", mean=True),
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
        duration_box,
        "Box: the middle half. Thick line: median. Diamond: mean. Thin line: minimum to maximum.",
        drawn=lambda row: row["mean_minutes"] is not None,
    ),
    Chart(
        *("hour-events", "time", "Events by hour of the day", "compliance_by_hour"),
        ("event_hour", "events", "event_share", "users"),
        events_by_hour,
        "All days together.",
    ),
    Chart(
        *("hour-rate", "time", "Violation rate by hour of the day", "compliance_by_hour"),
        ("event_hour", *RATE),
        rates_by_hour,
        RATE_NOTE,
    ),
    Chart(
        *("day-events", "time", "Events by day", "compliance_by_date"),
        ("event_date", "events", *STATUS_COUNTS, "users", "is_partial_day"),
        events_by_day,
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
        rates_by_day,
        "Band: control limits, wider on days with fewer events; a point inside it is noise. Solid "
        "line: the last seven days together. Dashed line: all judged days. Partial days are "
        "squares and are not judged.",
        wide=True,
    ),
    Chart(
        *("risk-tier", "users", "Users by risk tier", "compliance_by_user_risk_tier"),
        ("risk_tier", "users", "events", "violation_events", "violation_rate"),
        bars("risk_tier", "users", "", "users"),
        "By observed violation rate; a label, not evidence.",
    ),
    Chart(
        *("user-rate", "users", "Users by violation rate", "user_violation_rate_histogram"),
        ("bin_number", "bin_start", "bin_end", "frequency"),
        histogram("Violation rate of the user", "Users", rare=True),
        "Users with few events can only have a few rates, hence the gaps. The upright axis is "
        "logarithmic, so that rare rates can be seen.",
        drawn=lambda row: row["bin_start"] is not None,
    ),
    Chart(
        *("user-age", "users", "Users by age", "user_age_histogram"),
        ("bin_number", "bin_start", "bin_end", "frequency"),
        histogram("Age at the first event (years)", "Users"),
        "Each user once, at the age of the first event.",
        drawn=lambda row: row["bin_start"] is not None,
    ),
    Chart(
        *("users", "users", "Session duration, violation rate and age", "dim_users"),
        (
            *("user_id", "events", "violation_events", "violation_rate"),
            *("average_session_duration_minutes", "user_age", "risk_evidence"),
        ),
        users,
        "Each mark is a user; the larger, the more events. Diamonds are confirmed.",
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
        rates("data_shared"),
        RATE_NOTE,
    ),
    Chart(
        *("sharing-share", "sharing", "Status shares by data sharing"),
        "compliance_by_data_sharing",
        ("data_shared", "events", *SHARES),
        stacked("data_shared", "rate"),
        SHARE_NOTE,
        control="statuses",
    ),
    Chart(
        *("sharing-events", "sharing", "Events by data sharing", "compliance_by_data_sharing"),
        ("data_shared", "events", "event_share", "users"),
        bars("data_shared", "events", "event_share", "events"),
        "Number of events and their share of all events.",
    ),
    Chart(
        *("correlations", "correlations", "Correlation of pairs of metrics"),
        "metric_correlations",
        (
            *("metric_x", "metric_y", "events", "pearson", "p_value", "spearman"),
            "spearman_p_value",
        ),
        correlations,
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
        bars("rejection_reason", "quarantined_rows", "raw_row_share", "rows", limit=0.62),
        "A row can have several reasons. The table lists those that never occurred as well.",
        drawn=lambda row: row["quarantined_rows"] > 0,
        empty="No raw row was rejected.",
        wide=True,
    ),
)


# --- the page ------------------------------------------------------------------------------------


def escape(value: Any) -> str:
    """Return text that is safe in HTML and between quotes."""
    return html.escape(str(value), quote=True)


def table_html(caption: str, columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table of marts columns with the first column as headings of the rows."""

    def cell(name: str, row: Row) -> str:
        write = COLUMNS[name][1]
        value = escape(write(row[name]))
        if name == columns[0]:
            return f'<th scope="row">{value}</th>'
        kind = "verdict-" + text(row[name]) if name == "verdict" else ""
        if isinstance(row[name], int | float) and not isinstance(row[name], bool):
            kind = "number"
        return f'<td class="{escape(kind)}">{value}</td>' if kind else f"<td>{value}</td>"

    head = "".join(f'<th scope="col">{escape(COLUMNS[name][0])}</th>' for name in columns)
    body = "".join(
        f"<tr>{''.join(cell(name, row) for name in columns)}</tr>\n" for row in rows
    )
    # A box that scrolls must be within reach of the keyboard.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}, table">'
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def description(chart: Chart, rows: Sequence[Row]) -> str:
    """Return what the chart shows, for those who do not see it."""
    first, values = chart.columns[0], []
    measure = next((name for name in ("violation_rate", *chart.columns[1:]) if name in rows[0]), "")
    if chart.columns[0] in ("bin_number", "metric_x", "user_id") or len(rows) > 31:
        return f"{chart.title}. {chart.note} The table below holds the numbers."
    measure = "violation_rate" if "violation_rate" in chart.columns else chart.columns[1]
    for row in rows:
        name = " ".join(
            COLUMNS[column][1](row[column])
            for column in dict.fromkeys((first, "regulation"))
            if column in chart.columns
        )
        values.append(f"{name} {COLUMNS[measure][1](row[measure])}")
    return f"{chart.title}. {COLUMNS[measure][0]}: {', '.join(values)}."
