"""Vega-Lite specifications of the charts.

Colours are CSS variables and patterns of the page, so that charts follow light, dark and print
without being drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

from ott.catalog import Row
from ott.exports.report.tables import Tables
from ott.exports.report.words import (
    METRICS,
    VERDICTS,
    count,
    decimal,
    hour,
    percent,
    points,
    probability,
    text,
)

Spec = dict[str, Any]

INK, MUTED, SURFACE, BAR = "var(--ink)", "var(--muted)", "var(--surface)", "var(--bar)"
VIOLATION = "var(--status-violation)"
CONFIG: Spec = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "aria": False,  # the page describes each chart as one image, with a table beside it
    "view": {"stroke": None},
    "padding": {"left": 0, "top": 4, "right": 4, "bottom": 0},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor"), "var(--ink-soft)"),
        **dict.fromkeys(("domainColor", "tickColor"), "var(--line)"),
        "gridColor": "var(--grid)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelFlush": False,
    },
    "legend": {
        **dict.fromkeys(("labelColor", "titleColor"), "var(--ink-soft)"),
        # One below the other: side by side they are wider than a phone.
        "layout": {"bottom": {"direction": "vertical", "anchor": "start"}},
    },
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


TIP = {"field": "tip"}


def number(field: str, **options: Any) -> Spec:
    """Return the encoding of a field of numbers."""
    return {"field": field, "type": "quantitative", **options}


def layer(
    mark: str,
    style: Spec | None = None,
    *,
    name: str = "",
    rows: list[Row] | None = None,
    where: str = "",
    **encoding: Any,
) -> Spec:
    """Return marks in a style, of rows of their own or of those `where` an expression is true."""
    spec: Spec = {"mark": {"type": mark, **(style or {})}, "encoding": encoding}
    if name:
        spec["name"] = name
    if rows is not None:
        spec["data"] = {"values": rows}
    if where:
        spec["transform"] = [{"filter": where}]
    return spec


def layered(data: list[Row], *layers: Spec, height: Any = 240, **rest: Any) -> Spec:
    """Return a chart as wide as its place on the page."""
    return {
        "data": {"values": data},
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "layer": list(layers),
        **rest,
    }


def headings(limit: float = 0.5) -> list[Spec]:
    """Return the text above each row of a chart of rows: its name left, a remark right.

    Names above the rows leave the whole width to the data, on a phone as well. `limit` is the
    fraction of the width that the name may take.
    """
    shared = {"baseline": "bottom", "yOffset": -4}
    left = {"align": "left", "fontWeight": 600, "limit": {"expr": f"width * {limit}"}}
    right = {"align": "right", "fontSize": 11, "limit": {"expr": f"width * {1 - limit}"}}
    return [
        layer("text", shared | left, name="heading", x={"value": 0}, text={"field": "heading"}),
        layer(
            "text",
            shared | right,
            name="remark",
            x={"value": "width"},
            text={"field": "remark"},
            color=when("verdict", {"differs": INK}, "var(--ink-soft)"),
        ),
    ]


def in_rows(data: list[Row], *layers: Spec, limit: float = 0.5, step: int = 46, **rest) -> Spec:
    """Return a chart with one row of marks a name, in the order of the data."""
    names = list(dict.fromkeys(row["name"] for row in data))
    rows = {"field": "name", "type": "nominal", "axis": None}
    return layered(
        data,
        *layers,
        *headings(limit),
        height=step * len(names),
        encoding={"y": {**rows, "scale": {"domain": names, "padding": 0}}},
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
            "heading": text(row[member]),
            "label": percent(row["violation_rate"]) if row["events"] else "",
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
    return max(
        (row[field] for row in data for field in fields if row[field] is not None), default=0
    )


def rate_domain(data: Iterable[Row]) -> list[float]:
    """Return the ends of an axis with room for all intervals and the labels beside them."""
    return [0, 1.18 * highest(data, "rate", "high")]


def overall_line(tables: Tables, channel: str, scale: Spec, **rest: Any) -> Spec:
    """Return the violation rate of all events as a dashed line."""
    return layer(
        "rule",
        {"strokeDash": [4, 3], "opacity": 0.7},
        rows=[{"overall": tables.violation_rate}],
        **{channel: {**scale, "field": "overall"}},
        **rest,
    )


def rate_point(style: Spec, **place: Any) -> Spec:
    """Return rates as points in the colour and the shape of their verdicts."""
    return layer(
        "point",
        {"strokeWidth": 1.5, "opacity": 1, **style},
        fill=VERDICT_FILL,
        stroke=VERDICT_STROKE,
        shape=VERDICT_SHAPE,
        tooltip=TIP,
        **place,
    )


def rate_layers(tables: Tables, domain: list[float]) -> list[Spec]:
    """Return rates as points, their intervals as bars, and the overall rate as a dashed line."""
    scale = {"domain": domain, "nice": True}
    x = {"type": "quantitative", "scale": scale, "axis": percent_axis("Violation rate")}
    low, high = {**x, "field": "low"}, {**x, "field": "high"}
    offset = {"yOffset": 9}
    label = {"align": "left", "dx": 7, "fontSize": 11, **offset}
    cap = {"thickness": 1.5, "size": 8, "orient": "vertical", **offset}
    bar = {"strokeWidth": 2, **offset}
    return [
        layer("text", label, name="label", x=high, text={"field": "label"}),
        overall_line(tables, "x", x, y={"value": 0}, y2={"value": "height"}),
        layer("rule", bar, x=low, x2={"field": "high"}, color=VERDICT_STROKE),
        layer("tick", cap, x=low, color=VERDICT_STROKE),
        layer("tick", cap, x=high, color=VERDICT_STROKE),
        rate_point({"size": 90, **offset}, x={**x, "field": "rate"}),
    ]


Draw = Callable[[list[Row], Tables], Spec]


def rates(member: str) -> Draw:
    """Return the chart of the violation rates of the members of a dimension."""

    def draw(rows: list[Row], tables: Tables) -> Spec:
        data = rate_rows(rows, member)
        return in_rows(data, *rate_layers(tables, rate_domain(data)), limit=0.4)

    return draw


def rates_within_region(rows: list[Row], tables: Tables) -> Spec:
    """Draw the rates of the regulations within the region that the reader picks."""
    data = [
        {**drawn, "region": text(row["region"])}
        for drawn, row in zip(rate_rows(rows, "regulation"), rows, strict=True)
    ]
    # One axis for all regions, so that a pick can be compared with the one before.
    return in_rows(
        data,
        *rate_layers(tables, rate_domain(data)),
        limit=0.4,
        params=[{"name": "region", "value": data[0]["region"]}],
        transform=[{"filter": "datum.region === region"}],
    )


def status_color(tables: Tables) -> Spec:
    """Return the encoding that gives each status its own colour and pattern."""
    statuses = [row["status"] for row in tables.rows("compliance_by_status")]
    return {
        "field": "status",
        "scale": {"domain": statuses, "range": [f"url(#status-{name})" for name in statuses]},
        "legend": None,
    }


def status_filter(tables: Tables) -> Spec:
    """Return the part of a chart that leaves only the statuses that the reader picks."""
    statuses = [row["status"] for row in tables.rows("compliance_by_status")]
    return {
        "params": [{"name": "statuses", "value": statuses}],
        "transform": [{"filter": "indexof(statuses, datum.status) >= 0"}],
    }


def stacked(member: str, measure: str) -> Draw:
    """Return the chart of a dimension by status; `measure` is `rate` or `events`."""

    def draw(rows: list[Row], tables: Tables) -> Spec:
        statuses = [row["status"] for row in tables.rows("compliance_by_status")]
        write = percent if measure == "rate" else count
        names, parts = [], []
        for row in rows:
            name = text(row[member])
            values = [row[f"{status}_{measure}"] for status in statuses]
            written = " · ".join(write(value) for value in values) if row["events"] else "no events"
            names.append({"name": name, "heading": name, "remark": written})
            parts += [
                {"name": name, "status": status, "order": order, "value": value}
                | {"tip": f"{name}, {status}: {write(value)}"}
                for order, (status, value) in enumerate(zip(statuses, values, strict=True))
            ]
        share = percent_axis("Share of the events")
        choice = status_filter(tables)
        bars = layer(
            "bar",
            {"height": 14, "yOffset": 8, "stroke": SURFACE},
            rows=parts,
            x=number("value", axis=share if measure == "rate" else axis("Events", tickCount=5)),
            fill=status_color(tables),
            order={"field": "order"},
            tooltip=TIP,
        )
        bars["transform"] = choice.pop("transform")
        return in_rows(names, bars, limit=0.42, step=42, **choice)

    return draw


def statuses(rows: list[Row], tables: Tables) -> Spec:
    """Draw the events of each status."""
    data = [
        {"name": row["status"], "status": row["status"], "value": row["events"]}
        | {"heading": row["status"], "tip": f"{row['status']}: {percent(row['event_share'])}"}
        | {"remark": f"{percent(row['event_share'])} · {count(row['events'])} events"}
        for row in rows
    ]
    bars = layer(
        "bar",
        {"height": 18, "yOffset": 10, "stroke": SURFACE},
        x=number("value", axis=axis("Events", tickCount=5)),
        fill=status_color(tables),
        tooltip=TIP,
    )
    return in_rows(data, bars, limit=0.4, step=48, **status_filter(tables))


def bars(member: str, value: str, share: str, unit: str, limit: float = 0.5) -> Draw:
    """Return the chart of a number a member; members without any are left to the table."""

    def draw(rows: list[Row], tables: Tables) -> Spec:
        data = [
            {"name": text(row[member]), "heading": text(row[member]), "value": row[value]}
            | {
                "remark": f"{count(row[value])} {unit}"
                + (f" · {percent(row[share])}" if share else "")
            }
            for row in rows
        ]
        x = number("value", axis=axis(unit.capitalize(), tickCount=5, tickMinStep=1))
        style = {"height": 14, "yOffset": 8, "color": BAR}
        return in_rows(data, layer("bar", style, x=x), limit=limit, step=42)

    return draw


def region_by_regulation(rows: list[Row], tables: Tables) -> Spec:
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
    regions = [text(row["region"]) for row in tables.rows("compliance_by_region")]
    regulations = [text(row["regulation"]) for row in tables.rows("compliance_by_regulation")]
    top = axis(None, orient="top", labelAngle=0, **labels)
    cell = {"cornerRadius": 3}
    shades = {"type": "quantize", "domain": [0, highest(data, "rate")]}
    shades["range"] = [f"var(--noise-{step})" for step in range(1, 6)]
    on_violation = {"differs": "var(--on-violation)"}
    # The words do not fit into the narrow cells of a phone; the colour remains.
    narrow = {"test": "datum.remark === 'no evidence' && width < 330", "value": ""}
    return layered(
        data,
        layer(
            "rect",
            cell,
            where="datum.verdict !== 'differs'",
            fill=number("rate", scale=shades, legend=None),
            tooltip=TIP,
        ),
        layer(
            "rect", {**cell, "fill": VIOLATION}, where="datum.verdict === 'differs'", tooltip=TIP
        ),
        layer(
            "text",
            {"yOffset": -7, "fontSize": 11.5},
            text={"field": "label"},
            color=when("verdict", on_violation, INK),
        ),
        layer(
            "text",
            {"yOffset": 8, "fontSize": 9},
            text={"condition": narrow, "field": "remark"},
            color=when("verdict", on_violation, "var(--ink-soft)"),
        ),
        height=46 * len(regions),
        encoding={
            "x": {**side, "field": "regulation", "sort": regulations, "axis": top},
            "y": {**side, "field": "region", "sort": regions, "axis": axis(None, **labels)},
        },
    )


def grid_remark(row: Row) -> str:
    """Return the second line of a cell, short enough for a phone."""
    if row["events"] == 0:
        return "no events"
    if row["verdict"] == "differs":
        return f"{'▲' if row['rate_difference'] > 0 else '▼'} {points(row['rate_difference'])}"
    return "too few" if row["verdict"] == "too_few" else "no evidence"


def histogram(title: str, unit: str, mean: bool = False, rare: bool = False) -> Draw:
    """Return the chart of a histogram.

    `mean` marks the mean session duration; `rare` asks for a logarithmic axis, without which
    small bins vanish beside one that holds nearly all.
    """

    def draw(rows: list[Row], tables: Tables) -> Spec:
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
        x_axis = (
            percent_axis(title) if in_percent else axis(title, tickCount={"expr": "width / 50"})
        )
        x = {"type": "quantitative", "axis": x_axis, "scale": {"zero": False}}
        layers = [
            layer(
                "bar",
                {"color": BAR, "stroke": SURFACE, "strokeWidth": 0.5},
                x={**x, "field": "start"},
                x2={"field": "end"},
                y=number("value", axis=y_axis, scale={**scale, "domain": [0, largest]}),
                y2={"datum": 0},
                tooltip=TIP,
            )
        ]
        if mean:
            value = tables.rows("session_duration_statistics")[0]["mean_minutes"]
            at_mean = [{"mean": value, "label": f"mean {decimal(value)} min"}]
            place = {"x": {**x, "field": "mean"}, "y": {"value": 0}}
            line = {"strokeDash": [5, 3], "strokeWidth": 1.5}
            label = {"align": "left", "dx": 6, "dy": 8, "fontWeight": 600}
            layers += [
                layer("rule", line, rows=at_mean, **place, y2={"value": "height"}),
                layer("text", label, rows=at_mean, **place, text={"field": "label"}),
            ]
        return layered(data, *layers)

    return draw


def bin_text(row: Row, in_percent: bool) -> str:
    """Return the edges of a histogram bin."""
    write = percent if in_percent else decimal
    return f"{write(row['bin_start'])} to {write(row['bin_end'])}"


def duration_box(rows: list[Row], tables: Tables) -> Spec:
    """Draw the quartiles, the ends, the median and the mean of the session duration."""
    scale = {"axis": axis("Session duration (minutes)", tickCount={"expr": "width / 60"})}
    median = {"thickness": 3, "size": 30, "color": INK, "orient": "vertical"}
    diamond = {"shape": "diamond", "size": 110, "opacity": 1}
    return layered(
        rows,
        layer(
            "rule",
            {"color": MUTED, "strokeWidth": 2},
            x=number("min_minutes", **scale),
            x2={"field": "max_minutes"},
        ),
        layer(
            "bar",
            {"height": 30, "color": BAR},
            x=number("p25_minutes"),
            x2={"field": "p75_minutes"},
        ),
        layer("tick", median, x=number("median_minutes")),
        layer(
            "point",
            {**diamond, "fill": SURFACE, "stroke": INK, "strokeWidth": 1.5},
            x=number("mean_minutes"),
        ),
        height=70,
    )


HOURS = {
    "field": "event_hour",
    "type": "ordinal",
    "axis": axis("Hour of the day (UTC)", values=list(range(0, 24, 3)), labelAngle=0),
}


def events_by_hour(rows: list[Row], tables: Tables) -> Spec:
    """Draw the events of each hour of the day."""
    data = [
        {"event_hour": row["event_hour"], "value": row["events"]}
        | {"tip": f"{hour(row['event_hour'])}: {count(row['events'])} events"}
        for row in rows
    ]
    y = number("value", axis=axis("Events"))
    return layered(data, layer("bar", {"color": BAR}, x=HOURS, y=y, tooltip=TIP))


def rates_by_hour(rows: list[Row], tables: Tables) -> Spec:
    """Draw the violation rate of each hour of the day with its interval."""
    data = [
        {**drawn, "event_hour": row["event_hour"], "label": "differs"}
        for drawn, row in zip(rate_rows(rows, "event_hour"), rows, strict=True)
    ]
    # Room for the labels that stand upright on the intervals.
    room = 1.25 if any(row["verdict"] == "differs" for row in rows) else 1
    y = {"type": "quantitative", "axis": percent_axis("Violation rate")}
    y["scale"] = {"domain": [0, room * highest(data, "high")], "nice": True}
    low, high = {**y, "field": "low"}, {**y, "field": "high"}
    upright = {"angle": 270, "align": "left", "dx": 4, "fontSize": 11}
    return layered(
        data,
        overall_line(tables, "y", y),
        layer(
            "rule", {"strokeWidth": 2}, x=HOURS, y=low, y2={"field": "high"}, color=VERDICT_STROKE
        ),
        rate_point({"size": 50}, x=HOURS, y={**y, "field": "rate"}),
        layer(
            "text",
            upright,
            where="datum.verdict === 'differs'",
            x=HOURS,
            y=high,
            text={"field": "label"},
        ),
    )


# With more days than this, gaps between bars and large points would hide them.
CROWDED_DAYS = 120


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
            # Partial days are not judged.
            "low": None if row["is_partial_day"] else row["control_limit_low"],
            "high": None if row["is_partial_day"] else row["control_limit_high"],
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


def day_axis(first: Any, last: Any) -> Spec:
    """Return an axis of days between two moments, given as Vega expressions.

    Its domain is fixed: without that, a brush over it reports nothing. It counts milliseconds,
    since a time scale would go by the reader's time zone, and it names as many days as fit.
    """
    every = f"{DAY} * ceil(({last} - {first}) / {DAY} / max(2, width / 75))"
    form = f"({last} - {first} > {300 * DAY} ? '%b %Y' : '%-d %b')"
    return {
        "type": "quantitative",
        "scale": {"domain": [{"expr": str(first)}, {"expr": str(last)}], "nice": False},
        "axis": axis("Day (UTC)", labelExpr=f"utcFormat(datum.value, {form})", grid=False)
        | {"values": {"expr": f"sequence({first}, {last} + 1, {every})"}, "labelOverlap": True},
    }


def events_by_day(rows: list[Row], tables: Tables) -> Spec:
    """Draw the events of each day; dragging over them picks days."""
    data = day_rows(rows)
    x = day_axis(data[0]["day"], data[-1]["end"])
    bars = layer(
        "bar",
        {"stroke": SURFACE, "strokeWidth": 0.1 if len(data) > CROWDED_DAYS else 1},
        x={**x, "field": "day"},
        x2={"field": "end"},
        y=number("events", axis=axis("Events")),
        y2={"datum": 0},
        fill=when("kind", {"partial": "url(#partial)"}, BAR),
        tooltip=TIP,
    )
    bars["params"] = [{"name": "brush", "select": {"type": "interval", "encodings": ["x"]}}]
    return layered(data, bars, height=150)


def rates_by_day(rows: list[Row], tables: Tables) -> Spec:
    """Draw the control chart of the picked days."""
    data = day_rows(rows)
    x = day_axis("days[0]", "days[1]")
    noon = {**x, "field": "noon"}
    y = {"type": "quantitative", "axis": percent_axis("Violation rate")}
    y["scale"] = {"domain": [0, highest(data, "rate", "high")], "nice": True}
    rate = {**y, "field": "rate"}
    size = 12 if len(data) > CROWDED_DAYS else 45
    upright = {"angle": 270, "align": "left", "dx": 7, "fontSize": 11}
    return layered(
        data,
        layer(
            "bar",
            {"color": "var(--band)"},
            x={**x, "field": "day"},
            x2={"field": "end"},
            y={**y, "field": "low"},
            y2={"field": "high"},
        ),
        layer(
            "rule",
            {"strokeDash": [4, 3], "opacity": 0.7},
            rows=[{"center": tables.rows("violation_control_chart")[0]["center_line"]}],
            y={**y, "field": "center"},
        ),
        layer("line", {"color": INK, "strokeWidth": 2}, x=noon, y={**y, "field": "seven"}),
        layer(
            "point",
            {"size": size, "opacity": 1, "strokeWidth": 1.5},
            x=noon,
            y=rate,
            shape=when("kind", {"outside": "diamond", "partial": "square"}, "circle"),
            fill=when("kind", {"outside": VIOLATION, "partial": SURFACE}, MUTED),
            stroke=when("kind", {"outside": VIOLATION}, MUTED),
            tooltip=TIP,
        ),
        layer(
            "text", upright, where="datum.kind !== 'inside'", x=noon, y=rate, text={"field": "kind"}
        ),
        params=[{"name": "days", "value": [data[0]["day"], data[-1]["end"]]}],
        transform=[{"filter": "datum.day >= days[0] && datum.end <= days[1]"}],
        height=260,
    )


def users(rows: list[Row], tables: Tables) -> Spec:
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
    sizes = sorted({1, (largest + 1) // 2, largest})
    size = {"domain": [0, largest], "range": [8, 320]}
    by_size = {**legend, "symbolFillColor": MUTED, "values": sizes}
    marks = layer(
        "point",
        {"opacity": 0.8},
        x=number("duration", axis=axis("Mean session duration (minutes)", tickCount=6)),
        y=number("rate", axis=percent_axis("Violation rate")),
        size=number("events", title="Events", scale=size, legend=by_size),
        fill=number("age", title="Age (years)", scale=ages, legend={**legend, "format": ".0f"}),
        shape=when("evidence", {"confirmed": "diamond"}, "circle"),
        stroke=when("evidence", {"confirmed": VIOLATION}, INK),
        strokeWidth=when("evidence", {"confirmed": 2.5}, 0.6),
        tooltip=TIP,
    )
    return layered(data, marks, height=320)


def correlations(rows: list[Row], tables: Tables) -> Spec:
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
    bold = {"yOffset": -7, "fontWeight": 600}
    return layered(
        data,
        layer(
            "rect",
            {"cornerRadius": 3},
            fill=number("pearson", scale=diverging, legend=None),
            tooltip=TIP,
        ),
        layer("text", bold, text={"field": "label"}),
        layer("text", {"yOffset": 9, "fontSize": 10}, text={"field": "p"}),
        height=52 * len({row["down"] for row in data}),
        encoding={
            "x": {**side, "field": "across", "axis": axis(None, **labels)},
            "y": {**side, "field": "down", "axis": axis(None, **labels)},
        },
    )
