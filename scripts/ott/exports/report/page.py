"""The report: what the template shows, and the file that it makes."""

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ott.catalog import Release, Row
from ott.exports.report import words
from ott.exports.report.contents import CHARTS, SECTIONS, Chart, further
from ott.exports.report.drawing import CONFIG
from ott.exports.report.tables import Tables
from ott.exports.report.words import COLUMNS, count
from ott.files import whole_file
from ott.releases import ReleaseError

HERE = Path(__file__).parent

# Columns that the report reads besides those of its charts.
OTHER_COLUMNS = {
    "compliance_by_member": "dimension member",
    "dimensions": "dimension label singular is_further is_absent",
    "compliance_by_status": "status color",
    "compliance_summary": "section metric value_number value_text unit verdict description",
    "key_findings": "topic verdict finding detail",
    "violation_control_chart": "center_line",
}
# What a chart says when its table has more rows than it shows.
LEFT_OUT = {
    "dim_users": " Shown are {shown} of {all} users: confirmed ones first, then others picked at "
    "random, so rare outliers may be absent.",
    "compliance_by_date": " Shown are the last {shown} of {all} days.",
}
# What stands in place of a chart of single users where the report is to name none.
HIDDEN = "Single users are left out of this report."
# What stands in place of a chart of what the platform does not have.
ABSENT = "Events of this platform have no {}: the variable events_columns says it is absent."
# The key findings: first what the data supports, then what it does not.
FINDINGS = {
    "What differs": {"differs"},
    "What the mix of events explains": {"explained_by_mix"},
    "No evidence of a difference": {"no_evidence", "too_few"},
    "Days to look at, and the data itself": {None},
}
HEADLINES = (
    *("total_events", "unique_users", "compliant_rate", "warning_rate", "violation_rate"),
    "average_session_duration_minutes",
)
# What the manifest of a release says about it.
MADE = {"release": "Release", "created_at": "created", "git_commit": "from commit"}


def script_source(script: str) -> str:
    """Return how a content security policy allows an inline script."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def headings(labels: dict[str, str]) -> dict[str, tuple[str, Callable[[Any], str]]]:
    """Return the heading of each column, from the labels of dimensions, and what writes values."""
    named = {dimension: (label, words.text) for dimension, label in labels.items()}
    dimension = ("Dimension", lambda name: labels[name].lower())
    return {**named, **COLUMNS, "dimension": dimension}


def kind_of_cell(column: str, value: Any, text: str) -> str:
    """Return the classes of a value in a table."""
    if column == "verdict":
        return f"verdict-{words.text(value)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return "long" if len(text) > 44 else ""


def description(chart: Chart, about: str, rows: Sequence[Row]) -> str:
    """Return what the chart shows, for those who do not see it."""
    name, measure, *others = chart.columns.split()
    measure = "violation_rate" if "violation_rate" in others else measure
    if len(rows) > 12 or name not in ("status", chart.dimension):
        return f"{about} The table below holds the numbers."
    written = COLUMNS[measure][1]
    values = [f"{words.text(row[name])} {written(row[measure])}" for row in rows]
    return f"{about} {COLUMNS[measure][0]}: {', '.join(values)}."


def figure(chart: Chart, tables: Tables) -> dict[str, Any]:
    """Return the parts of a chart's figure by name; `spec` is None where nothing is drawn."""
    rows = tables.rows(chart.table)
    if chart.only:
        rows = [row for row in rows if row["dimension"] == chart.only]
    title = chart.title.format(tables.labels.get(chart.dimension, "").lower())
    note = chart.note
    if rows and chart.table in LEFT_OUT and (size := tables.release.size(chart.table)) > len(rows):
        note += LEFT_OUT[chart.table].format(shown=count(len(rows)), all=count(size))
    drawn = []
    for row in filter(chart.drawn, rows if chart.draw else ()):
        said = {"tip": chart.tip, "remark": chart.remark}
        texts = {name: words.say(text, row) for name, text in said.items() if text}
        drawn.append({name: row[name] for name in chart.columns.split()} | texts)
    has_events = chart.key == "quarantine" or any(row.get("events", 1) for row in drawn)
    return {
        "chart": chart,
        "title": title,
        "rows": rows,
        "note": note,
        "spec": chart.draw(drawn, tables) if drawn and has_events else None,
        "description": description(chart, f"{title}. {chart.note}", drawn),
        "empty": HIDDEN
        if chart.table in tables.hidden
        else ABSENT.format(tables.absent[chart.dimension])
        if chart.dimension in tables.absent
        else chart.empty,
    }


def findings(rows: Sequence[Row]) -> dict[str, list[list[Row]]]:
    """Return the key findings under their titles, those on one topic together."""
    found = {}
    for title, verdicts in FINDINGS.items():
        shown = [row for row in rows if row["verdict"] in verdicts]
        topics = groupby(shown, key=lambda row: row["topic"])
        found[title] = [list(topic) for _, topic in topics]
    return found


def page(release: Release, with_users: bool) -> str:
    """Return the whole report as HTML. Raises ReleaseError when the release is incomplete."""
    read = [*((chart.table, chart.columns) for chart in CHARTS), *OTHER_COLUMNS.items()]
    release.require((table, column) for table, names in read for column in names.split())
    tables = Tables(release, with_users)
    for status in tables.rows("compliance_by_status"):
        # It is written into CSS.
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", words.text(status["color"])):
            raise ReleaseError(f"{status['color']} is no colour of the form #RRGGBB.")
    sections = [*SECTIONS, *further(tables.further)]
    figures = {chart: figure(chart, tables) for section in sections for chart in section.charts}
    first, last = (tables.summary[f"{end}_event_date"]["value_text"] for end in ("first", "last"))
    made = [f"{label} {text}" for key, label in MADE.items() if (text := release.manifest.get(key))]
    runtime = vl_convert.javascript_bundle().replace("</script", "<\\/script")
    loader = FileSystemLoader(HERE)
    blocks = {"trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **blocks)
    environment.filters["script_source"] = script_source
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html.jinja").render(
        period=f"{first} to {last} (UTC)" if first else "no events",
        findings=findings(tables.rows("key_findings")),
        headlines=HEADLINES,
        sections=[(section, [figures[chart] for chart in section.charts]) for section in sections],
        tables=tables,
        made=", ".join(made) + "." if made else "",
        config=CONFIG,
        charts={chart.key: drawn["spec"] for chart, drawn in figures.items() if drawn["spec"]},
        runtime=f"(() => {{{runtime}}})();",
        code=(HERE / "page.js").read_text("utf-8"),
        columns=headings(tables.labels),
        words=words,
        kind_of_cell=kind_of_cell,
    )


def write_report(where: Path, output: Path, with_users: bool = False) -> None:
    """Write the report of a release, with single users or without, or leave the file as it was."""
    with Release(where) as release:
        content = page(release, with_users)
    try:
        with whole_file(output) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ReleaseError(f"{output} cannot be written: {error.strerror}.") from error
