"""The HTML of the report: text, tables, and charts that the browser draws."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

import vl_convert

from ott.catalog import Release, ReportError, Row
from ott.exports.report.contents import CHARTS, SECTIONS, Chart, Section
from ott.exports.report.drawing import CONFIG, Spec
from ott.exports.report.words import COLUMNS, VERDICTS, count, summary_value, text

PAGE = Path(__file__).parent


def escape(value: Any) -> str:
    """Return text that is safe in HTML and between quotes."""
    return html.escape(str(value), quote=True)


def table_html(caption: str, columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table of marts columns with the first column as headings of the rows."""

    def cell(name: str, row: Row) -> str:
        write = COLUMNS[name][1]
        value = escape(write(row[name]))
        kinds = ["long"] if len(value) > 44 else []
        if name == "verdict":
            kinds.append(f"verdict-{text(row[name])}")
        if isinstance(row[name], int | float) and not isinstance(row[name], bool):
            kinds.append("number")
        kind = f' class="{escape(" ".join(kinds))}"' if kinds else ""
        if name == columns[0]:
            return f'<th scope="row"{kind}>{value}</th>'
        return f"<td{kind}>{value}</td>"

    head = "".join(f'<th scope="col">{escape(COLUMNS[name][0])}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(cell(name, row) for name in columns)}</tr>\n" for row in rows)
    # A box that scrolls must be within reach of the keyboard.
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}, table">'
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


# Columns of names that a description of a chart can list with their values.
MEMBERS = {
    *("status", "region", "regulation", "event_type", "data_shared", "concurrent_streams"),
    "risk_tier",
}


def description(chart: Chart, rows: Sequence[Row]) -> str:
    """Return what the chart shows, for those who do not see it."""
    about = f"{chart.title}. {chart.note}"
    name, measure = chart.columns[0], chart.columns[1]
    if "violation_rate" in chart.columns:
        measure = "violation_rate"
    if len(rows) > 12 or {"region", "regulation"} <= {*chart.columns} or name not in MEMBERS:
        return f"{about} The table below holds the numbers."
    values = [f"{COLUMNS[name][1](row[name])} {COLUMNS[measure][1](row[measure])}" for row in rows]
    return f"{about} {COLUMNS[measure][0]}: {', '.join(values)}."


def status_buttons(release: Release) -> str:
    """Return the legend of the statuses; each entry is a button that shows or hides its status."""
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-status="{escape(row["status"])}">'
        '<svg class="swatch" aria-hidden="true"><rect width="100%" height="100%" '
        f'fill="url(#status-{escape(row["status"])})"/></svg>{escape(row["status"])}</button>'
        for row in release.rows("compliance_by_status")
    )
    return f'<div class="control" role="group" aria-label="Statuses in all charts">{buttons}</div>'


def region_choice(release: Release) -> str:
    """Return the list from which the reader picks a region."""
    options = "".join(
        f"<option>{escape(row['region'])}</option>" for row in release.rows("compliance_by_region")
    )
    return (
        f'<div class="control"><label>Region <select id="region">{options}</select></label></div>'
    )


def day_choice(release: Release) -> str:
    """Return the fields in which the reader sets the first and the last day."""
    days = [row["event_date"].isoformat() for row in release.rows("compliance_by_date")]
    fields = "".join(
        f'<label>{label} <input type="date" id="{name}" value="{value}" '
        f'min="{days[0]}" max="{days[-1]}"></label>'
        for label, name, value in (("From", "first-day", days[0]), ("to", "last-day", days[-1]))
    )
    return (
        f'<div class="control">{fields}<button type="button" id="all-days">All days</button></div>'
    )


# What a chart says when its table has more rows than it shows.
LEFT_OUT = {
    "dim_users": " Shown are {shown} of {all} users: confirmed ones first, then others picked at "
    "random, so rare outliers may be absent.",
    "compliance_by_date": " Shown are the last {shown} of {all} days.",
}
# What stands in place of a chart of single users where the report is to name none.
HIDDEN = "Single users are left out of this report."
CONTROLS = {"statuses": status_buttons, "region": region_choice, "days": day_choice}


def figure(chart: Chart, release: Release) -> tuple[str, Spec | None]:
    """Return the HTML of a chart and its table, and its Vega-Lite specification if it is drawn."""
    rows = release.rows(chart.table)
    missing = {*chart.columns} - {*release.columns(chart.table)}
    if missing and rows:
        raise ReportError(
            f"{release.file} has no column {', '.join(sorted(missing))} in marts.{chart.table}: "
            "run `make build` to publish it anew."
        )
    note = chart.note
    if chart.table in LEFT_OUT and rows and release.size(chart.table) > len(rows):
        note += LEFT_OUT[chart.table].format(
            shown=count(len(rows)), all=count(release.size(chart.table))
        )
    table = table_html(chart.title, chart.columns, rows) if rows else ""
    spec = None
    empty = HIDDEN if chart.table in release.hidden else chart.empty
    if chart.draw is None:
        content = table or f"<p>{escape(empty)}</p>"
    else:
        drawn = [row for row in rows if chart.drawn(row)]
        has_events = chart.key == "quarantine" or any(row.get("events", 1) for row in drawn)
        if drawn and has_events:
            spec = chart.draw(drawn, release)
            control = CONTROLS[chart.control](release) if chart.control else ""
            content = (
                f'{control}<div class="chart" role="img" aria-label="'
                f'{escape(description(chart, drawn))}">'
                f'<div aria-hidden="true" data-chart="{chart.key}"></div></div>'
            )
        else:
            content = f"<p>{escape(empty)}</p>"
        if table:
            content += f"<details><summary>Table: {escape(chart.title)}</summary>{table}</details>"
    wide = " wide" if chart.wide else ""
    return (
        f'<figure class="card{wide}" id="chart-{chart.key}"><figcaption><h3>{escape(chart.title)}'
        f'</h3><p class="note">{escape(note)}</p></figcaption>{content}</figure>'
    ), spec


def badge(verdict: str | None) -> str:
    """Return a verdict as a mark of its own shape and colour, with its words."""
    words = VERDICTS.get(verdict, verdict)
    return f'<span class="badge {escape(text(verdict))}">{escape(words)}</span>'


FINDINGS = {
    "What differs": {"differs"},
    "No evidence of a difference": {"no_evidence", "too_few"},
    "About the data": {None},
}


def findings_html(release: Release) -> str:
    """Return the key findings: first what the data supports, then what it does not.

    The sentences about one topic stay together under its first one.
    """
    topics = [
        list(rows)
        for _, rows in groupby(release.rows("key_findings"), key=lambda row: row["topic"])
    ]
    parts = []
    for title, verdicts in FINDINGS.items():
        items = ""
        for first, *rest in (topic for topic in topics if topic[0]["verdict"] in verdicts):
            details = "".join(f"<li>{escape(row['finding'])}</li>" for row in rest)
            items += f'<li class="{escape(text(first["verdict"]))}">{escape(first["finding"])}'
            items += (f"<ul>{details}</ul>" if details else "") + "</li>"
        if not items and "differs" in verdicts:
            items = "<li>Nothing beyond what chance explains.</li>"
        if items:
            parts.append(f'<h3>{title}</h3><ul class="findings">{items}</ul>')
    return "".join(parts)


HEADLINES = (
    *("total_events", "unique_users", "compliant_rate", "warning_rate", "violation_rate"),
    "average_session_duration_minutes",
)


def headlines_html(release: Release) -> str:
    """Return the headline figures, a few large and all in a table."""
    tiles = "".join(
        f"<div><dt>{escape(release.summary[name]['description'])}</dt>"
        f"<dd>{escape(summary_value(release.summary[name]))}</dd></div>"
        for name in HEADLINES
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row["description"])}'
        + (f": {escape(name.removeprefix('violation_rate_').upper())}" if is_region(row) else "")
        + f"</th><td>{escape(summary_value(row))}</td></tr>\n"
        for name, row in release.summary.items()
    )
    return (
        f'<dl class="headlines">{tiles}</dl><details><summary>Table: all headline figures</summary>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Headline figures, table">'
        "<table><caption>Headline figures. Which member stands highest is what was observed, no "
        'evidence that members differ.</caption><thead><tr><th scope="col">Figure</th>'
        f'<th scope="col">Value</th></tr></thead><tbody>{body}</tbody></table></div></details>'
    )


def is_region(row: Row) -> bool:
    """Return whether a headline figure is one of a series, one a region."""
    return row["section"] == "regions"


def verdicts_html(section: Section, release: Release) -> str:
    """Return one line for each dimension of the section: does the violation rate differ?"""
    return "".join(
        f'<p class="verdict">Violation rate by {COLUMNS["dimension"][1](row["dimension"])}: '
        f"{badge(row['verdict'])}</p>"
        for dimension in section.dimensions
        for row in release.rows("violation_associations")
        if row["dimension"] == dimension
    )


def status_css(release: Release) -> str:
    """Return the colour of each status as CSS variables.

    Raises ReportError when a colour is no hex colour, since it would be written into CSS.
    """
    lines = []
    for row in release.rows("compliance_by_status"):
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", text(row["color"])):
            raise ReportError(f"{row['color']} is no colour of the form #RRGGBB.")
        lines.append(f"--status-{row['status']}: {row['color']};")
    return f":root {{ {' '.join(lines)} }}"


def inline_script(code: str) -> tuple[str, str]:
    """Return code as an inline script, and the source that a content security policy allows."""
    code = code.replace("</script", "<\\/script")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    return f"<script>{code}</script>", f"'sha256-{digest}'"


def page(release: Release) -> str:
    """Return the whole report as HTML. Raises ReportError when the release is incomplete."""
    specs: dict[str, Spec] = {}
    sections, links = [], []
    for section in SECTIONS:
        figures = []
        for chart in CHARTS:
            if chart.section == section.key:
                markup, spec = figure(chart, release)
                figures.append(markup)
                if spec:
                    specs[chart.key] = spec
        links.append(f'<a href="#{section.key}">{escape(section.title)}</a>')
        sections.append(
            f'<section id="{section.key}" aria-labelledby="{section.key}-title">'
            f'<h2 id="{section.key}-title">{escape(section.title)}</h2>'
            + (f"<p>{escape(section.text)}</p>" if section.text else "")
            + verdicts_html(section, release)
            + f'<div class="grid">{"".join(figures)}</div></section>'
        )
    runtime, runtime_hash = inline_script("(() => {" + vl_convert.javascript_bundle() + "})();")
    code, code_hash = inline_script((PAGE / "page.js").read_text("utf-8"))
    # `<` as an escape: no text in the data can end the element that holds it.
    data = json.dumps(
        {"config": CONFIG, "charts": specs}, separators=(",", ":"), allow_nan=False
    ).replace("<", "\\u003c")
    first, last = (release.summary[f"{end}_event_date"]["value_text"] for end in ("first", "last"))
    made = [
        f"{label} {escape(release.manifest[key])}"
        for key, label in (
            ("release", "Release"),
            ("created_at", "created"),
            ("git_commit", "from commit"),
        )
        if release.manifest.get(key)
    ]
    return Template((PAGE / "page.html").read_text("utf-8")).substitute(
        script_hashes=f"{runtime_hash} {code_hash}",
        css=status_css(release) + (PAGE / "page.css").read_text("utf-8"),
        period=escape(f"{first} to {last} (UTC)" if first else "no events"),
        links="".join(links),
        findings=findings_html(release),
        headlines=headlines_html(release),
        sections="\n".join(sections),
        made=", ".join(made) + "." if made else "",
        data=data,
        runtime=runtime,
        code=code,
    )
