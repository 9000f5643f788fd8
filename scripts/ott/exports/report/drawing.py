"""Vega-Lite specifications of the charts.

Each function draws the rows of one chart, which hold the columns of its table; fields keep the
names of those columns. Colours are CSS variables and patterns of the page, so that charts follow
light, dark and print without being drawn anew.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, time
from typing import Any

from ott.catalog import Row
from ott.exports.report import words
from ott.exports.report.tables import Tables
from ott.exports.report.words import count, decimal, form, percent, points

Spec = dict[str, Any]
Draw = Callable[[list[Row], Tables], Spec]

INK, SOFT, MUTED, SURFACE = "var(--ink)", "var(--ink-soft)", "var(--muted)", "var(--surface)"
VIOLATION = "var(--status-violation)"
CONFIG: Spec = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "aria": False,  # the page describes each chart as one image, with a table beside it
    "view": {"stroke": None},
    "padding": {"left": 0, "top": 4, "right": 4, "bottom": 0},
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor"), SOFT),
        **dict.fromkeys(("domainColor", "tickColor"), "var(--line)"),
        "gridColor": "var(--grid)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelFlush": False,
    },
    "legend": {
        **dict.fromkeys(("labelColor", "titleColor"), SOFT),
        # One below the other: side by side they are wider than a phone.
        "layout": {"bottom": {"direction": "vertical", "anchor": "start"}},
    },
    "bar": {"color": "var(--bar)"},
    "point": {"opacity": 1, "strokeWidth": 1.5},
    "rect": {"cornerRadius": 3},
    "rule": {"color": INK},
    "text": {"color": INK, "fontSize": 12},
    "tick": {"orient": "vertical"},
}
DAY = 24 * 60 * 60 * 1000  # milliseconds, the unit of time in Vega
# With more days than this, gaps between bars and large points would hide them.
CROWDED_DAYS = 120


def percent_axis(title: str) -> Spec:
    """Return an axis that writes fractions as percent."""
    label = "format(datum.value * 100, '.3~g') + '\u00a0%'"
    return {"title": title, "labelExpr": label, "tickCount": 5}


def when(field: str, values: Mapping[str, Any], default: Any) -> Spec:
    """Return an encoding whose value depends on a text field."""
    conditions = [
        {"test": f"datum.{field} === '{name}'", "value": value} for name, value in values.items()
    ]
    return {"condition": conditions, "value": default}


VERDICT_COLOR = when("verdict", {"differs": VIOLATION}, MUTED)
# Points of rates.
VERDICT_POINT = {
    "fill": when("verdict", {"differs": VIOLATION, "no_evidence": SURFACE}, MUTED),
    "stroke": VERDICT_COLOR,
    "shape": when("verdict", {"differs": "diamond", "too_few": "cross"}, "circle"),
    "tooltip": "tip",
}


def number(field: str, **options: Any) -> Spec:
    """Return the encoding of a field of numbers."""
    return {"field": field, "type": "quantitative", **options}


def layer(mark: str, style: Spec | None = None, **encoding: Any) -> Spec:
    """Return marks in a style; an encoding that is a text is the name of a field."""
    fields = {key: {"field": of} if isinstance(of, str) else of for key, of in encoding.items()}
    return {"mark": {"type": mark, **(style or {})}, "encoding": fields}


def layered(rows: list[Row], *layers: Spec, height: int = 240, **rest: Any) -> Spec:
    """Return a chart as wide as its place on the page."""
    size = {"width": "container", "height": height}
    fit = {"autosize": {"type": "fit-x", "contains": "padding"}}
    return {"data": {"values": rows}, **size, **fit, "layer": list(layers), **rest}


def in_rows(
    rows: list[Row], member: str, *layers: Spec, limit: float, step: int, **rest: Any
) -> Spec:
    """Return a chart with one row of marks a member, in the order of the rows.

    The text above each row leaves the whole width to the data, on a phone as well: the member left,
    in at most the fraction `limit` of the width, and a remark right.
    """
    members = list(dict.fromkeys(row[member] for row in rows))
    scale = {"domain": members, "padding": 0}
    shared = {"baseline": "bottom", "yOffset": -4}
    left = {"align": "left", "fontWeight": 600, "limit": {"expr": f"width * {limit}"}}
    right = {"align": "right", "fontSize": 11, "limit": {"expr": f"width * {1 - limit}"}}
    place = {"x": {"value": "width"}, "color": when("verdict", {"differs": INK}, SOFT)}
    return layered(
        rows,
        *layers,
        layer("text", shared | left, x={"value": 0}, text=member) | {"name": "heading"},
        layer("text", shared | right, **place, text="remark") | {"name": "remark"},
        height=step * len(members),
        encoding={"y": {"field": member, "type": "nominal", "scale": scale, "axis": None}},
        **rest,
    )


def highest(data: Iterable[Row], *fields: str) -> float:
    """Return the largest value of the fields, so that an axis can hold all of them."""
    return max(row[field] or 0 for row in data for field in fields)


def rate_scale(largest: float) -> Spec:
    """Return what the encodings of violation rates on an axis up to the largest have in common."""
    scale = {"domain": [0, largest], "nice": True}
    return {"type": "quantitative", "axis": percent_axis("Violation rate"), "scale": scale}


def dashed_line(rate: float | None, channel: str, scale: Spec, **rest: Any) -> Spec:
    """Return a rate to compare others with as a dashed line."""
    style = {"strokeDash": [4, 3], "opacity": 0.7}
    line = layer("rule", style, **{channel: {**scale, "field": "rate"}}, **rest)
    return line | {"data": {"values": [{"rate": rate}]}}


def with_verdicts(rows: list[Row], said: Mapping[str, str]) -> list[Row]:
    """Return rates with labels and remarks: `said` by verdict, with its `{sign}` and `{points}`."""
    data = []
    for row in rows:
        label, remark = "", "no events"
        if row["events"]:
            difference = row["rate_difference"] or 0
            changes = {"sign": "▲" if difference > 0 else "▼", "points": points(difference)}
            label = percent(row["violation_rate"])
            remark = said.get(row["verdict"], "").format(**changes)
        data.append({**row, "label": label, "remark": remark})
    return data


def rates(rows: list[Row], tables: Tables, *, member: str, within: str = "") -> Spec:
    """Draw rates as points, their intervals as bars, and the overall rate as a dashed line.

    The rows are those `within` one member of another dimension, which the reader picks. All have
    the same axis, so that a pick can be compared with the one before.
    """
    verdicts = ("no_evidence", "too_few", "explained_by_mix")
    said = {verdict: words.verdict(verdict) for verdict in verdicts}
    data = with_verdicts(rows, said | {"differs": "{sign} differs: {points} points"})
    # Room for the labels beside the intervals.
    x = rate_scale(1.18 * highest(data, "violation_rate", "violation_rate_high"))
    low, high = {**x, "field": "violation_rate_low"}, {**x, "field": "violation_rate_high"}
    offset = {"yOffset": 9}
    label = {"align": "left", "dx": 7, "fontSize": 11, **offset}
    cap = {"thickness": 1.5, "size": 8, **offset}
    bar = {"strokeWidth": 2, **offset}
    pick: Spec = {}
    if within:
        pick["params"] = [{"name": within, "value": data[0][within]}]
        pick["transform"] = [{"filter": f"datum.{within} === {within}"}]
    return in_rows(
        data,
        member,
        {**layer("text", label, x=high, text="label"), "name": "label"},
        dashed_line(tables.violation_rate, "x", x, y={"value": 0}, y2={"value": "height"}),
        layer("rule", bar, x=low, x2="violation_rate_high", color=VERDICT_COLOR),
        layer("tick", cap, x=low, color=VERDICT_COLOR),
        layer("tick", cap, x=high, color=VERDICT_COLOR),
        layer("point", {"size": 90, **offset}, x={**x, "field": "violation_rate"}, **VERDICT_POINT),
        limit=0.4,
        step=46,
        **pick,
    )


STATUS_FILTER = {"transform": [{"filter": "indexof(statuses, datum.status) >= 0"}]}


def in_status_rows(rows: list[Row], tables: Tables, member: str, bars: Spec, **rest: Any) -> Spec:
    """Return a chart in rows of bars in the colours and patterns of the statuses picked."""
    patterns = [f"url(#status-{status})" for status in tables.statuses]
    scale = {"domain": tables.statuses, "range": patterns}
    bars["encoding"]["fill"] = {"field": "status", "scale": scale, "legend": None}
    pick = {"params": [{"name": "statuses", "value": tables.statuses}]}
    return in_rows(rows, member, bars, **pick, **rest)


def statuses(rows: list[Row], tables: Tables) -> Spec:
    """Draw the events of each status."""
    x = number("events", axis={"title": "Events", "tickCount": 5})
    bars = layer("bar", {"height": 18, "yOffset": 10, "stroke": SURFACE}, x=x, tooltip="tip")
    return in_status_rows(rows, tables, "status", bars, limit=0.4, step=48, **STATUS_FILTER)


def stacked(rows: list[Row], tables: Tables, *, member: str, measure: str) -> Spec:
    """Draw the statuses of each member; `measure` is `rate` or `events`."""
    counted = {"title": "Events", "tickCount": 5}
    axis = percent_axis("Share of the events") if measure == "rate" else counted
    parts = [
        {member: row[member], "status": status, "order": order, "value": row[f"{status}_{measure}"]}
        | {"tip": words.say(f"{{{member}}}, {status}: {{{status}_{measure}}}", row)}
        for row in rows
        for order, status in enumerate(tables.statuses)
    ]
    style = {"height": 14, "yOffset": 8, "stroke": SURFACE}
    x = number("value", axis=axis)
    bars = layer("bar", style, x=x, order="order", tooltip="tip") | STATUS_FILTER
    bars["data"] = {"values": parts}
    names = [{**row, "remark": row["remark"] if row["events"] else "no events"} for row in rows]
    return in_status_rows(names, tables, member, bars, limit=0.42, step=42)


def bars(
    rows: list[Row], tables: Tables, *, member: str, value: str, title: str, limit: float = 0.5
) -> Spec:
    """Draw a number of each member."""
    x = number(value, axis={"title": title, "tickCount": 5, "tickMinStep": 1})
    marks = layer("bar", {"height": 14, "yOffset": 8}, x=x)
    return in_rows(rows, member, marks, limit=limit, step=42)


def side(field: str, names: Iterable[str], **axis: Any) -> Spec:
    """Return one side of a grid, with its names in their order."""
    return {
        "field": field,
        "type": "nominal",
        "sort": list(names),
        "scale": {"paddingInner": 0.04},
        "axis": {"title": None, "domain": False, "ticks": False, **axis},
    }


def shades(variable: str, steps: int, **scale: Any) -> Spec:
    """Return a scale of colours in steps, which are CSS variables with numbers at their ends."""
    colors = [f"var(--{variable}-{step})" for step in range(1, steps + 1)]
    return {"type": "quantize", "range": colors, **scale}


def region_by_regulation(rows: list[Row], tables: Tables) -> Spec:
    """Draw the violation rate of each combination as a grid."""
    # Short enough for a phone.
    said = {"differs": "{sign} {points}", "no_evidence": "no evidence", "too_few": "too few"}
    said["explained_by_mix"] = "by its mix"
    data = with_verdicts(rows, said)
    regions = dict.fromkeys(row["region"] for row in rows)
    regulations = dict.fromkeys(row["regulation"] for row in rows)
    labels = {"labelFontSize": 11, "labelLimit": 70}
    noise = shades("noise", 5, domain=[0, highest(data, "violation_rate")])
    differs = {"test": "datum.verdict === 'differs'", "value": VIOLATION}
    fill = number("violation_rate", scale=noise, legend=None, condition=differs)
    on_violation = {"differs": "var(--on-violation)"}
    # The words do not fit into the narrow cells of a phone; the colour remains.
    narrow = {"test": "datum.remark === 'no evidence' && width < 330", "value": ""}
    remark = {"condition": narrow, "field": "remark"}
    upper, lower = {"yOffset": -7, "fontSize": 11.5}, {"yOffset": 8, "fontSize": 9}
    return layered(
        data,
        layer("rect", fill=fill, tooltip="tip"),
        layer("text", upper, text="label", color=when("verdict", on_violation, INK)),
        layer("text", lower, text=remark, color=when("verdict", on_violation, SOFT)),
        height=46 * len(regions),
        encoding={
            "x": side("regulation", regulations, orient="top", labelAngle=0, **labels),
            "y": side("region", regions, **labels),
        },
    )


def histogram(
    rows: list[Row],
    tables: Tables,
    *,
    axis: str,
    unit: str,
    in_percent: bool = False,
    whole: bool = False,
    mean: bool = False,
    rare: bool = False,
) -> Spec:
    """Draw a histogram.

    Bins of `whole` numbers are named by the first and the last one. `mean` marks the mean session
    duration; `rare` asks for a logarithmic axis, without which small bins vanish beside one that
    holds nearly all.
    """
    write = percent if in_percent else form("{:.0f}") if whole else decimal
    data = []
    for row in rows:
        ends = f"{write(row['bin_start'])} to {write(row['bin_end'] - whole)}"
        data.append({**row, "tip": f"{ends}: {count(row['frequency'])} {unit.lower()}"})
    largest = highest(rows, "frequency")
    y = number("frequency", axis={"title": unit}, scale={"domain": [0, largest]})
    if rare:
        powers = [10**power for power in range(len(str(largest)))]
        y["axis"] = {"title": f"{unit} (logarithmic)", "values": [0, *powers]}
        y["scale"] |= {"type": "symlog", "constant": 1}
    x_axis = {"title": axis, "tickCount": {"expr": "width / 50"}}
    shared = {"axis": percent_axis(axis) if in_percent else x_axis, "scale": {"zero": False}}
    x = {"x": number("bin_start", **shared), "x2": "bin_end"}
    bar = {"stroke": SURFACE, "strokeWidth": 0.5}
    layers = [layer("bar", bar, **x, y=y, y2={"datum": 0}, tooltip="tip")]
    if mean:
        value = tables.rows("session_duration_statistics")[0]["mean_minutes"]
        at_mean = {"data": {"values": [{"mean": value, "label": f"mean {decimal(value)} min"}]}}
        place = {"x": number("mean", **shared), "y": {"value": 0}}
        line = {"strokeDash": [5, 3], "strokeWidth": 1.5}
        label = {"align": "left", "dx": 6, "dy": 8, "fontWeight": 600}
        layers += [
            layer("rule", line, **place, y2={"value": "height"}) | at_mean,
            layer("text", label, **place, text="label") | at_mean,
        ]
    return layered(data, *layers)


def duration_box(rows: list[Row], tables: Tables) -> Spec:
    """Draw the quartiles, the ends, the median and the mean of the session duration."""
    axis = {"title": "Session duration (minutes)", "tickCount": {"expr": "width / 60"}}
    median = {"thickness": 3, "size": 30, "color": INK}
    diamond = {"shape": "diamond", "size": 110, "fill": SURFACE, "stroke": INK}
    ends = {"x": number("min_minutes", axis=axis), "x2": "max_minutes"}
    return layered(
        rows,
        layer("rule", {"color": MUTED, "strokeWidth": 2}, **ends),
        layer("bar", {"height": 30}, x=number("p25_minutes"), x2="p75_minutes"),
        layer("tick", median, x=number("median_minutes")),
        layer("point", diamond, x=number("mean_minutes")),
        height=70,
    )


HOURS = {
    "field": "event_hour",
    "type": "ordinal",
    "axis": {"title": "Hour of the day (UTC)", "values": [*range(0, 24, 3)], "labelAngle": 0},
}


def events_by_hour(rows: list[Row], tables: Tables) -> Spec:
    """Draw the events of each hour of the day."""
    y = number("events", axis={"title": "Events"})
    return layered(rows, layer("bar", x=HOURS, y=y, tooltip="tip"))


def rates_by_hour(rows: list[Row], tables: Tables) -> Spec:
    """Draw the violation rate of each hour of the day with its interval."""
    # Room for the labels that stand upright on the intervals.
    room = 1.25 if any(row["verdict"] == "differs" for row in rows) else 1
    y = rate_scale(room * highest(rows, "violation_rate_high"))
    low, high = {**y, "field": "violation_rate_low"}, {**y, "field": "violation_rate_high"}
    interval = {"y": low, "y2": "violation_rate_high", "color": VERDICT_COLOR}
    upright = {"angle": 270, "align": "left", "dx": 4, "fontSize": 11}
    differing = {"transform": [{"filter": "datum.verdict === 'differs'"}]}
    return layered(
        rows,
        dashed_line(tables.violation_rate, "y", y),
        layer("rule", {"strokeWidth": 2}, x=HOURS, **interval),
        layer("point", {"size": 50}, x=HOURS, y={**y, "field": "violation_rate"}, **VERDICT_POINT),
        layer("text", upright, x=HOURS, y=high, text={"value": "differs"}) | differing,
    )


def day_rows(tables: Tables) -> list[Row]:
    """Return what charts of days need; moments in milliseconds since 1970, UTC."""
    columns = {"rate": "violation_rate", "seven": "violation_rate_7_days", "events": "events"}
    # Of judged days alone.
    limits = {"low": "control_limit_low", "high": "control_limit_high"}
    data = []
    for row in tables.rows("compliance_by_date"):
        start = int(datetime.combine(row["event_date"], time(), UTC).timestamp() * 1000)
        kind, said = "inside", ""
        if row["is_partial_day"]:
            kind, said = "partial", ", partial day"
        elif row["is_out_of_control"]:
            kind, said = "outside", ", outside the limits"
        tip = words.say("{event_date}: {violation_rate} of {events} events", row) + said
        day = {"day": start, "noon": start + DAY // 2, "end": start + DAY}
        day |= {name: row[column] for name, column in columns.items()}
        day |= {name: None if kind == "partial" else row[of] for name, of in limits.items()}
        data.append({**day, "kind": kind, "tip": tip})
    return data


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
        "axis": {
            "title": "Day (UTC)",
            "labelExpr": f"utcFormat(datum.value, {form})",
            "grid": False,
            "values": {"expr": f"sequence({first}, {last} + 1, {every})"},
            "labelOverlap": True,
        },
    }


def events_by_day(rows: list[Row], tables: Tables) -> Spec:
    """Draw the events of each day; dragging over them picks days."""
    data = day_rows(tables)
    x = day_axis(data[0]["day"], data[-1]["end"])
    bars = layer(
        "bar",
        {"stroke": SURFACE, "strokeWidth": 0.1 if len(data) > CROWDED_DAYS else 1},
        x={**x, "field": "day"},
        x2="end",
        y=number("events", axis={"title": "Events"}),
        y2={"datum": 0},
        fill=when("kind", {"partial": "url(#partial)"}, "var(--bar)"),
        tooltip="tip",
    )
    bars["params"] = [{"name": "brush", "select": {"type": "interval", "encodings": ["x"]}}]
    return layered(data, bars, height=150)


def rates_by_day(rows: list[Row], tables: Tables) -> Spec:
    """Draw the control chart of the picked days."""
    data = day_rows(tables)
    x = day_axis("days[0]", "days[1]")
    y = rate_scale(highest(data, "rate", "high"))
    noon, rate = {**x, "field": "noon"}, {**y, "field": "rate"}
    band = {"x": {**x, "field": "day"}, "x2": "end", "y": {**y, "field": "low"}, "y2": "high"}
    center = tables.rows("violation_control_chart")[0]["center_line"]
    upright = {"angle": 270, "align": "left", "dx": 7, "fontSize": 11}
    noted = {"transform": [{"filter": "datum.kind !== 'inside'"}]}
    points = layer(
        "point",
        {"size": 12 if len(data) > CROWDED_DAYS else 45},
        x=noon,
        y=rate,
        shape=when("kind", {"outside": "diamond", "partial": "square"}, "circle"),
        fill=when("kind", {"outside": VIOLATION, "partial": SURFACE}, MUTED),
        stroke=when("kind", {"outside": VIOLATION}, MUTED),
        tooltip="tip",
    )
    return layered(
        data,
        layer("bar", {"color": "var(--band)"}, **band),
        dashed_line(center, "y", y),
        layer("line", {"color": INK, "strokeWidth": 2}, x=noon, y={**y, "field": "seven"}),
        points,
        layer("text", upright, x=noon, y=rate, text="kind") | noted,
        params=[{"name": "days", "value": [data[0]["day"], data[-1]["end"]]}],
        transform=[{"filter": "datum.day >= days[0] && datum.end <= days[1]"}],
        height=260,
    )


def users(rows: list[Row], tables: Tables) -> Spec:
    """Draw users by mean session duration, violation rate, age and number of events."""
    largest = highest(rows, "events")
    size = {"domain": [0, largest], "range": [8, 320]}
    sizes = sorted({1, (largest + 1) // 2, largest})
    legend = {"orient": "bottom", "direction": "horizontal", "columns": 5}
    by_size = {**legend, "symbolFillColor": MUTED, "values": sizes}
    by_age = {**legend, "format": ".0f"}
    duration = {"title": "Mean session duration (minutes)", "tickCount": 6}
    marks = layer(
        "point",
        {"opacity": 0.8},
        x=number("average_session_duration_minutes", axis=duration),
        y=number("violation_rate", axis=percent_axis("Violation rate")),
        size=number("events", title="Events", scale=size, legend=by_size),
        fill=number("user_age", title="Age (years)", scale=shades("age", 5), legend=by_age),
        shape=when("risk_evidence", {"confirmed": "diamond"}, "circle"),
        stroke=when("risk_evidence", {"confirmed": VIOLATION}, INK),
        strokeWidth=when("risk_evidence", {"confirmed": 2.5}, 0.6),
        tooltip="tip",
    )
    return layered(rows, marks, height=320)


def correlations(rows: list[Row], tables: Tables) -> Spec:
    """Draw the correlation of each pair of metrics as a grid."""
    said = "{metric_x} and {metric_y}: Pearson {pearson:.3f}, Spearman "
    data = [
        {
            **row,
            "across": words.metric(row["metric_x"]),
            "down": words.metric(row["metric_y"]),
            "label": f"{row['pearson']:.2f}",
            "p": f"p {words.probability(row['p_adjusted'])}",
            "tip": said.format(**row) + words.coefficient(row["spearman"]),
        }
        for row in rows
    ]
    # In a pair the earlier metric stands first; the last one never does.
    first = Counter(words.metric(row["metric_x"]) for row in tables.rows("metric_correlations"))
    names = {row[name] for row in data for name in ("across", "down")}
    order = sorted(names, key=lambda name: -first[name])
    diverging = shades("correlation", 7, domain=[-1, 1])
    return layered(
        data,
        layer("rect", fill=number("pearson", scale=diverging, legend=None), tooltip="tip"),
        layer("text", {"yOffset": -7, "fontWeight": 600}, text="label"),
        layer("text", {"yOffset": 9, "fontSize": 10}, text="p"),
        height=52 * len({row["down"] for row in data}),
        encoding={
            "x": side("across", order, labelAngle=0),
            "y": side("down", order, labelAngle=0),
        },
    )
