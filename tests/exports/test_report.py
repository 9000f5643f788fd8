"""The report is whole, true to the marts, and in a real browser usable, and it sends nothing."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from conftest import PROJECT

from ott import cli
from ott.catalog import Release
from ott.exports.report.contents import CHARTS, SECTIONS
from ott.exports.report.tables import Tables
from ott.exports.report.words import COLUMNS

vl_convert = pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")

USER_TABLES = ("dim_users", "top_risk_users")
HOSTILE = """</script><img src=x onerror="window.hacked=1">'"<!-- ${1} \\u003c"""


class Report:
    """A report in a folder with the release that it shows."""

    def __init__(self, folder: Path) -> None:
        self.release, self.file = folder / "ott_compliance.duckdb", folder / "report.html"

    @cached_property
    def html(self) -> str:
        return self.file.read_text("utf-8")

    @cached_property
    def specs(self) -> dict[str, Any]:
        return json.loads(re.search(r'id="specs">(.*?)</script>', self.html)[1])

    @cached_property
    def figures(self) -> dict[str, str]:
        """Parts of the text by the key of their chart."""
        figures = r'<figure [^>]*id="chart-([^"]*)">(.*?)</figure>'
        return dict(re.findall(figures, self.html, re.DOTALL))

    def table(self, chart: str) -> list[tuple[str, ...]]:
        """Cells of the table behind a chart without its headings."""
        rows = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", self.figures[chart])
        cells = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows)
        return [tuple(map(unescape, row)) for row in cells]

    def marks(self, chart: str, name: str = "") -> list[dict[str, Any]]:
        """The marks of a chart as Vega draws them, all or those of one type or layer."""

        def found(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
            if node.get("role") == "mark" and name in ("", node["marktype"], node["name"]):
                yield from node["items"]
            for item in node.get("items", []):
                yield from found(item)

        spec = {**self.specs["charts"][chart], "config": self.specs["config"], "width": 600}
        return list(found(vl_convert.vegalite_to_scenegraph(spec)["scenegraph"]))

    def description(self, chart: str) -> str:
        return unescape(re.search(r'role="img" aria-label="([^"]*)"', self.figures[chart])[1])

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(self.release, read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="session")
def build(release_file, tmp_path_factory) -> Callable[..., Report]:
    """Return a function that makes a report of the seed build after some SQL."""

    def build_(*statements: str, options: tuple[str, ...] = ("--with-users",), code: int = 0):
        report = Report(tmp_path_factory.mktemp("report"))
        # Without the mode bits, which forbid writing.
        shutil.copyfile(release_file, report.release)
        with duckdb.connect(report.release) as connection:
            connection.execute(";".join(["begin", *statements, "commit"]))
        report.file.write_text("old")
        files = ["--release", str(report.release), "--output", str(report.file)]
        assert cli.main(["report", *files, *options]) == code
        return report

    return build_


@pytest.fixture(scope="session")
def report(build) -> Report:
    """The report of the seed build with everything that it can hold."""
    return build()


@pytest.fixture(scope="session")
def report_without_events(build, report) -> Report:
    """Zeros and nulls everywhere."""
    changes = report.query(
        "select format('update marts.{} set {} = {}', table_name, column_name,"
        " if(column_name = 'events', '0', 'null')) from duckdb_columns()"
        " where schema_name = 'marts'"
        " and (data_type = 'DOUBLE' or column_name in ('events', 'bin_start', 'value_text'))"
    )
    emptied = ("compliance_by_date", "violation_control_chart", "key_findings", *USER_TABLES)
    return build(*(f"delete from marts.{table}" for table in emptied), *(sql for (sql,) in changes))


def named_users(name: str) -> list[str]:
    """SQL that gives users ids of a form that nothing else in the page has."""
    changes = "alter user_id type varchar using '{0}' || user_id"
    return [f"alter table marts.{table} {changes.format(name)}" for table in USER_TABLES]


# --- the page as a whole -------------------------------------------------------------------------


def test_every_chart_is_drawn_described_and_has_a_table(report):
    charts = report.specs["charts"]
    assert len(charts) >= 27
    assert {chart for chart in charts if not report.marks(chart)} == set()
    assert {chart for chart in charts if len(report.description(chart)) <= 40} == set()
    # Whatever has a colour follows light, dark and print.
    assert not re.search(r"#[0-9a-fA-F]{3}|rgb", json.dumps(report.specs))
    for chart, figure in report.figures.items():
        columns = re.search("<thead><tr>(.*?)</tr>", figure)[1].count('<th scope="col">')
        assert {len(row) for row in report.table(chart)} == {columns}, chart


def test_small_breakdowns_are_described_by_their_numbers(report):
    parts = report.query(
        "select format('{} {:.1f}\u00a0%', region, 100 * violation_rate) "
        "from marts.compliance_by_region order by display_order",
    )
    said = f"Violation rate: {', '.join(part for (part,) in parts)}."
    assert report.description("region-rate").endswith(said)
    assert report.description("hour-rate").endswith("The table below holds the numbers.")


def test_findings_come_before_charts_and_are_those_of_the_marts(report):
    findings = unescape(report.html[: report.html.index("<figure")])
    for (finding,) in report.query("select finding from marts.key_findings"):
        assert finding in findings


def test_dimensions_have_the_labels_of_the_release(build):
    """In the verdicts that open the sections, the titles of charts and the table of tests."""
    report = build("update marts.dimensions set label = 'The ' || dimension")
    labels = report.query("select dimension, is_tested, lower(label) from marts.dimensions")
    named = {dimension for section in SECTIONS for dimension in section.dimensions}
    assert named == {dimension for dimension, _, _ in labels}
    tested = sorted(label for _, is_tested, label in labels if is_tested)
    opening = re.findall('class="verdict">Violation rate by ([^:]+): ', report.html)
    assert sorted(opening) == sorted(row[0] for row in report.table("associations")) == tested
    titled = re.findall("<h3>[^<]* by (the [^<]*?)(?: and status)?</h3>", report.html)
    assert {*titled} == {label for _, _, label in labels}


def test_the_exposure_names_the_tables_that_are_read(build, monkeypatch):
    exposures = yaml.safe_load((PROJECT / "models" / "marts" / "_exposures.yml").read_text())
    (exposure,) = (e for e in exposures["exposures"] if e["name"] == "ott_compliance_report")
    read, rows = set(), Tables._rows
    monkeypatch.setattr(Tables, "_rows", lambda self, name: read.add(name) or rows(self, name))
    build()
    assert set(exposure["depends_on"]) == {f"ref('{table}')" for table in read}


# --- true to the marts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("events", 1234567, "1,234,567"),
        ("violation_rate", 0.05549, "5.5\u00a0%"),
        ("violation_rate", None, "n/a"),
        ("rate_difference", 0.01234, "+1.23"),
        ("p_adjusted", 0.00099, "< 0.001"),
        ("p_adjusted", 0.0014, "0.001"),
        ("event_hour", 7, "07:00"),
        ("bin_start", 1234.567, "1,234.57"),
        ("mean_minutes", 45.25, "45.2"),
        ("pearson", -0.0061, "-0.006"),
        ("verdict", "too_few", "too few events to tell"),
        ("is_partial_day", None, "not judged"),
        ("risk_evidence", "watch", "watch, not confirmed"),
        ("metric_x", "is_violation", "violation"),
        ("user_id", 12345, "12345"),
    ],
)
def test_values_are_written_by_their_kind(column, value, text):
    assert COLUMNS[column][1](value) == text


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.key)
def test_tables_hold_what_the_marts_hold(report, chart):
    columns = chart.columns.split()
    rows = report.query(f"select {', '.join(columns)} from marts.{chart.table}")
    if columns[0] == "dimension":
        labels = dict(report.query("select dimension, lower(label) from marts.dimensions"))
        rows = [(labels[dimension], *rest) for dimension, *rest in rows]
    write = [COLUMNS.get(column, ("", str))[1] for column in columns]
    expected = {tuple(form(value) for form, value in zip(write, row, strict=True)) for row in rows}
    shown = report.table(chart.key)
    assert len(shown) == min(len(rows), 1000)
    assert {*shown} <= expected
    assert chart.table == "dim_users" or {*shown} == expected


def test_rates_are_drawn_in_display_order_with_their_intervals(report):
    """Points, bars and the caps at their ends stand where the values are; nothing is cut off."""
    expected = report.query(
        "select region, violation_rate, violation_rate_low, violation_rate_high "
        "from marts.compliance_by_region order by display_order",
    )
    names = [mark["text"] for mark in report.marks("region-rate", "heading_marks")]
    points = [mark["x"] for mark in report.marks("region-rate", "symbol")]
    bars = [(bar["x"], bar["x2"]) for bar in report.marks("region-rate", "rule")[1:]]
    caps = [cap["x"] + cap["width"] / 2 for cap in report.marks("region-rate", "rect")]
    scale = points[0] / expected[0][1]
    width = report.marks("region-rate", "remark_marks")[0]["x"]
    drawn = zip(names, points, bars, zip(caps[:5], caps[5:], strict=True), strict=True)
    for (name, rate, *ends), (shown, point, bar, between) in zip(expected, drawn, strict=True):
        assert (name, point) == (shown, pytest.approx(rate * scale))
        assert bar == between == pytest.approx([end * scale for end in ends])
        assert bar[1] <= width


def test_verdicts_are_called_by_their_names(build):
    """One region of each verdict: only that which differs is drawn in the colour of violations."""
    report = build(
        "update marts.compliance_by_region set verdict = case display_order when 1 then 'differs' "
        "when 2 then 'too_few' else 'no_evidence' end, rate_difference = 0.0123"
    )
    remarks = [mark["text"] for mark in report.marks("region-rate", "remark_marks")]
    assert remarks[:2] == ["▲ differs: +1.23 points", "too few events to tell"]
    assert remarks[2:] == ["no evidence of a difference"] * 3
    fills = [mark["fill"] for mark in report.marks("region-rate", "symbol")]
    assert fills == ["var(--status-violation)", "var(--muted)", *["var(--surface)"] * 3]


def test_each_status_has_its_own_colour_and_pattern(report):
    statuses = report.query(
        "select status, color from marts.compliance_by_status order by display_order"
    )
    for status, color in statuses:
        assert f"--status-{status}: {color};" in report.html
        pattern = re.search(f'<pattern id="status-{status}"(.*?)</pattern>', report.html, re.DOTALL)
        assert f"fill: var(--status-{status})" in pattern[1]
    fills = [mark["fill"] for mark in report.marks("status", "rect")]
    assert fills == [f"url(#status-{status})" for status, _ in statuses]


# --- what is left out, and what is wrong ---------------------------------------------------------


@pytest.mark.parametrize("is_published", [True, False])
def test_no_user_is_named_unless_asked_for(build, is_published):
    drops = [] if is_published else [f"drop table marts.{table}" for table in USER_TABLES]
    report = build(*named_users("somebody-"), *drops, options=())
    assert "somebody" not in report.html
    assert report.html.count("Single users are left out of this report.") == len(USER_TABLES)
    report = build(*named_users("somebody-"), *drops)
    assert ("somebody" in report.html) == is_published
    assert report.html.count("does not publish single users") == 2 * (not is_published)


def test_many_days_and_users_are_cut_and_said_so(build):
    report = build(
        "insert into marts.compliance_by_date select * exclude (i) "
        "replace (event_date - (100 * (i + 1))::integer as event_date) "
        "from marts.compliance_by_date, range(40) series(i)",
    )
    assert report.file.stat().st_size < 2_000_000
    days = report.query("select event_date::text from marts.compliance_by_date order by all")
    assert [row[:1] for row in report.table("day-rate")] == days[-400:]
    assert f"Shown are the last 400 of {len(days):,} days." in report.figures["day-rate"]
    ((users,),) = report.query("select count(*) from marts.dim_users")
    assert len(report.marks("users", "symbol")) == 1000
    assert f"Shown are 1,000 of {users:,} users: confirmed ones first" in report.figures["users"]


def test_release_without_events_has_no_charts_and_says_so(report_without_events):
    assert report_without_events.specs["charts"] == {}
    assert report_without_events.html.count("There are no events to draw.") > 20


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("drop table marts.compliance_by_hour", "lacks compliance_by_hour:"),
        ("alter table marts.compliance_by_hour drop verdict", "lacks compliance_by_hour.verdict:"),
        ("alter table marts.dimensions drop label", "lacks dimensions.label:"),
        ("update marts.compliance_by_status set color = 'red;}'", "is no colour"),
    ],
)
def test_incomplete_release_is_said_and_leaves_the_old_report(build, capsys, statement, message):
    report = build(statement, code=1)
    assert message in capsys.readouterr().err
    assert report.html == "old"
    assert {*report.file.parent.iterdir()} == {report.release, report.file}


@pytest.mark.parametrize(
    ("release", "output", "message"),
    [
        ("no/release", "report.html", "run `make build` first"),
        ("", "report.html", "cannot be opened as a DuckDB database"),
        ("seed", "seed/report.html", "cannot be written"),
    ],
)
def test_wrong_paths_are_said(release_file, tmp_path, capsys, release, output, message):
    (tmp_path / "ott_compliance.duckdb").write_text("region,events\n")
    (tmp_path / "seed").symlink_to(release_file)
    files = ["--release", str(tmp_path / release), "--output", str(tmp_path / output)]
    assert cli.main(["report", *files]) == 1
    assert message in capsys.readouterr().err


def test_release_comes_from_the_environment_and_its_manifest_is_shown(
    release_file, tmp_path, monkeypatch, capsys
):
    current = tmp_path / "releases" / "current"
    current.mkdir(parents=True)
    shutil.copy(release_file, current / "ott_compliance.duckdb")
    (current / "manifest.json").write_text('{"git_commit": "abc<123", "created_at": "today"}')
    monkeypatch.setenv("OTT_RELEASE_PATH", str(tmp_path / "releases"))
    output = tmp_path / "report.html"
    umask = os.umask(0o077)
    code = cli.main(["report", "--output", str(output)])
    os.umask(umask)
    assert code == 0
    assert "created today, from commit abc&lt;123." in output.read_text("utf-8")
    assert output.stat().st_mode & 0o777 == 0o600
    assert cli.main(["report", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "OTT_RELEASE_PATH" in shown and "target/compliance_report.html" in shown


@pytest.mark.parametrize(
    "manifest",
    ["[]", "null", "{", '{"release": {"a": 1}}', '{"release": "\\ud800"}', "[" * 100_000],
)
def test_a_damaged_manifest_is_passed_over(release_file, tmp_path, manifest):
    (tmp_path / "ott_compliance.duckdb").symlink_to(release_file)
    with Release(tmp_path) as release:
        release.file = tmp_path / release.file.name
        release.file.with_name("manifest.json").write_text(manifest)
        assert release.manifest == {}


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        # The sandbox needs privileges that containers lack; the page is our own.
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Return a function that opens a report in a tab, where all must go well without a network."""
    contexts, problems, requests = [], [], set()

    def open_(report: Report, width: int = 1200, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.add(request.url.split(":")[0]))
        page.goto(report.file.as_uri())
        page.evaluate("reportReady")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []
    assert requests <= {"file", "data", "blob"}


def drawn_in(page, chart: str, marks: str) -> int:
    """Number of drawn items of a kind of mark in a chart."""
    return page.locator(f"#chart-{chart} svg g.role-mark.mark-{marks} > *").count()


def visible_rows(page, chart: str) -> list[str]:
    """First cells of the rows that are left of the table behind a chart."""
    return page.locator(f"#chart-{chart} tbody tr:not([hidden]) th").all_text_contents()


def test_page_without_charts_opens(report_without_events, open_page):
    assert open_page(report_without_events).locator("[data-chart]").count() == 0


def test_text_of_the_data_is_never_run(build, open_page):
    quoted = HOSTILE.replace("'", "''")
    region = f"set region = '{quoted}' where region = 'EU'"
    report = build(
        *named_users(quoted),
        f"update marts.compliance_by_region {region}",
        f"update marts.compliance_by_region_and_regulation {region}",
        f"update marts.key_findings set finding = '{quoted}.' where display_order = 1",
    )
    assert HOSTILE not in report.html
    assert "<img" not in report.html[: report.html.index("<script")]
    page = open_page(report)
    page.select_option("#region", HOSTILE)
    page.locator("#chart-region-share .mark-rect path").nth(3).hover()
    page.wait_for_selector("#tip.visible")
    assert page.locator("#tip").text_content().startswith(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator("#findings").text_content()
    assert page.locator("#chart-top-users tbody td").first.text_content().startswith(HOSTILE)
    assert page.evaluate("document.documentElement.scrollWidth") == 1200


def test_status_buttons_filter_all_status_charts(report, open_page):
    """By mouse and keyboard; hiding the last status shows all again."""
    page = open_page(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    charts = ("status", "region-share", "regulation-events", "event-type-share", "sharing-share")
    before = {chart: drawn_in(page, chart, "rect") for chart in charts}
    pressed = page.locator("button[data-status][aria-pressed=true]")
    for status, left in (("compliant", 2), ("warning", 1), ("violation", 3)):
        if status == "warning":
            page.focus("#chart-status button[data-status=warning]")
            page.keyboard.press("Space")
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(outline) == "solid"
        else:
            page.click(f"#chart-region-share button[data-status={status}]")
        page.wait_for_timeout(200)
        after = {chart: drawn_in(page, chart, "rect") for chart in charts}
        assert after == {chart: count * left // 3 for chart, count in before.items()}
        assert pressed.count() == left * len(charts)


def test_region_is_picked_from_the_list_and_in_the_grid(report, open_page):
    page = open_page(report)

    def shown() -> set[str]:
        page.wait_for_timeout(100)
        headings = "#chart-regulation-within-region .heading_marks text"
        drawn = f"[...document.querySelectorAll('{headings}')].map(text => text.__data__.datum)"
        assert len(page.evaluate(drawn)) == 5
        regions = {row["region"] for row in page.evaluate(drawn)}
        assert regions == set(visible_rows(page, "regulation-within-region"))
        return regions

    for (region,) in report.query("select region from marts.compliance_by_region"):
        page.select_option("#region", region)
        assert shown() == {region}
    cell = page.locator("#chart-region-regulation g.mark-rect path").first
    picked = cell.evaluate("path => path.__data__.datum.region")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    assert shown() == {picked}
    assert page.input_value("#region") == picked


def test_dates_and_a_brush_narrow_the_days(report, open_page):
    page = open_page(report)
    days = visible_rows(page, "day-rate")
    page.fill("#last-day", days[2])
    page.dispatch_event("#last-day", "change")
    page.wait_for_timeout(200)
    assert drawn_in(page, "day-rate", "symbol") == 3
    assert visible_rows(page, "day-rate") == visible_rows(page, "day-events") == days[:3]
    page.click("#all-days")
    assert visible_rows(page, "day-rate") == days

    page.locator("#chart-day-events").scroll_into_view_if_needed()
    box = page.locator("#chart-day-events svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    visible = visible_rows(page, "day-rate")
    assert 1 < len(visible) == drawn_in(page, "day-rate", "symbol") < len(days) / 2
    assert page.input_value("#first-day") == visible[0] > days[0]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 768), ("dark", 320)])
def test_page_fits_the_screen_and_axe_finds_nothing_serious(report, open_page, scheme, width):
    # The report's content security policy keeps out axe as well.
    page = open_page(report, width=width, color_scheme=scheme, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wider = page.evaluate(
        """() => [...document.querySelectorAll(".chart svg")].filter(svg => {
            const card = svg.closest("figure").getBoundingClientRect();
            return [svg, ...svg.querySelectorAll("text")].some(part => {
                const box = part.getBoundingClientRect();
                return box.width && (box.right > card.right + 1 || box.left < card.left - 1);
            });
        }).map(svg => svg.closest("figure").id)"""
    )
    assert wider == []
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="no axe-core-python")
    # Rows are all made alike, and thousands of them keep axe busy for minutes.
    page.evaluate(
        """() => {
            document.querySelectorAll("details").forEach(part => part.open = true);
            document.querySelectorAll("tbody tr:nth-child(n+6)").forEach(row => row.remove());
        }"""
    )
    # Charts are images with a description; their inside is hidden from assistive technology.
    found = axe.Axe().run(page, context={"exclude": [[".chart svg"]]})["violations"]
    assert [
        f"{problem['id']}: {problem['nodes'][0]['html'][:200]}"
        for problem in found
        if problem["impact"] in ("serious", "critical")
    ] == []


def test_paper_is_light_with_tables_and_whole_charts_of_all_sections(report, open_page):
    page = open_page(report, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    card = page.locator("#chart-region-rate")
    background = "element => getComputedStyle(element).backgroundColor"
    assert card.evaluate(background) == "rgb(255, 255, 255)"
    assert card.locator("table").is_visible()
    assert page.locator("nav").is_hidden()
    widths = "[...document.querySelectorAll('.chart svg')].map(svg => svg.clientWidth)"
    assert max(page.evaluate(widths)) <= 660
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0

    # An outline names the headings that made it to the paper.
    paper = page.pdf(format="A4", outline=True, tagged=True)
    titles = page.locator("h2").all_text_contents()
    assert [title for title in titles if f"/Title ({title})".encode() not in paper] == []
