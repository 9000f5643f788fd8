"""The report in a real browser: it is whole, true to the marts, usable, and sends nothing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import duckdb
import pytest
import yaml

pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_core_python.sync_playwright", reason="no axe-core-python")

from ott.catalog import Release  # noqa: E402
from ott.exports.report.contents import SECTIONS  # noqa: E402
from ott.exports.report.page import page  # noqa: E402
from ott.exports.report.tables import Tables  # noqa: E402

PROJECT = Path(__file__).parent.parent
REPORT = (sys.executable, PROJECT / "scripts" / "ott", "report")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not on PATH (Debian: apt-get install chromium)"
)


def run_report(release: Path, output: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*REPORT, "--release", release, "--output", output, *options],
        capture_output=True,
        text=True,
        timeout=120,
    )


def build_report(release: Path, output: Path) -> Path:
    """Write a report with everything that it can hold."""
    result = run_report(release, output, "--with-users")
    assert result.returncode == 0, result.stderr
    return output


def changed_release(release: Path, folder: Path, *statements: str) -> Path:
    """A copy of a release on which SQL was run."""
    copy = folder / "ott_compliance.duckdb"
    # Without the mode bits, which forbid writing.
    shutil.copyfile(release, copy)
    with duckdb.connect(copy) as connection:
        for statement in statements:
            connection.execute(statement)
    return copy


@pytest.fixture(scope="session")
def report(release_file, tmp_path_factory) -> Path:
    return build_report(release_file, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("chromium is not on PATH (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        # The sandbox needs privileges that containers lack; the page is our own.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class OpenReport:
    """A report in a browser tab, with everything it complained about or asked for."""

    def __init__(self, context, file: Path) -> None:
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.evaluate("reportReady")

    def _note(self, kind: str, message: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(message)

    def drawn(self, chart: str, marks: str) -> int:
        """Number of drawn items of a kind of mark in a chart."""
        return self.page.locator(f"#chart-{chart} svg g.role-mark.mark-{marks} > *").count()

    def width_of_page(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth")

    def table(self, chart: str) -> list[list[str]]:
        """Cells of the table behind a chart, hidden rows included."""
        return self.page.evaluate(
            "id => [...document.querySelectorAll(`#chart-${id} tbody tr`)]"
            ".map(row => [...row.cells].map(cell => cell.textContent.replaceAll('\\u00a0', ' ')))",
            chart,
        )


@pytest.fixture
def open_report(browser):
    """Return a function that opens a report."""
    contexts = []

    def open_(file: Path, width: int = 1200, **options) -> OpenReport:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        return OpenReport(context, file)

    yield open_
    for context in contexts:
        context.close()


def marts(release: Path, query: str) -> list[tuple]:
    with duckdb.connect(release, read_only=True) as connection:
        return connection.execute(query).fetchall()


# --- the page as a whole -------------------------------------------------------------------------


def test_report_is_small(report):
    assert report.stat().st_size < 2_000_000


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_says_who_can_read_the_report(release_file, tmp_path, umask):
    before = os.umask(umask)
    try:
        report = build_report(release_file, tmp_path / "report.html")
    finally:
        os.umask(before)
    assert report.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("is_published", [True, False])
def test_no_user_is_named_unless_asked_for(release_file, tmp_path, is_published):
    """Ids of a form that nothing else in the page has."""
    tables = ("dim_users", "top_risk_users")
    release = changed_release(
        release_file,
        tmp_path,
        *(f"alter table marts.{table} alter user_id type varchar" for table in tables),
        *(f"update marts.{table} set user_id = 'somebody-' || user_id" for table in tables),
        *(f"drop table marts.{table}" for table in tables if not is_published),
    )
    output = tmp_path / "report.html"
    assert run_report(release, output).returncode == 0
    page = output.read_text("utf-8")
    assert "somebody" not in page
    assert page.count("Single users are left out of this report.") == len(tables)
    assert run_report(release, output, "--with-users").returncode == 0
    assert ("somebody" in output.read_text("utf-8")) == is_published


def test_page_loads_without_complaint_or_request(report, open_report):
    opened = open_report(report)
    assert opened.problems == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def test_every_chart_is_drawn(report, open_report):
    opened = open_report(report)
    marks = opened.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[data-chart]")].map(chart => [
            chart.dataset.chart,
            chart.querySelectorAll("svg g.role-mark > path, svg g.role-mark > line").length,
        ]))"""
    )
    assert len(marks) >= 27
    assert {chart: number for chart, number in marks.items() if number < 1} == {}


def test_every_chart_has_a_description_and_a_table(report, open_report):
    opened = open_report(report)
    incomplete = opened.page.evaluate(
        """() => [...document.querySelectorAll("figure")].filter(figure => {
            const chart = figure.querySelector(".chart");
            const described = !chart
                || chart.getAttribute("role") === "img" && chart.ariaLabel.length > 40;
            const table = figure.querySelector("table");
            return !described || !table?.caption || !table.querySelector("th[scope=col]")
                || table.querySelectorAll("tbody th[scope=row]").length
                    !== table.tBodies[0].rows.length;
        }).map(figure => figure.id)"""
    )
    assert incomplete == []


def test_findings_come_before_charts_and_are_those_of_the_marts(report, release_file, open_report):
    page = open_report(report).page
    first, then = page.evaluate(
        """["#findings", ".chart"].map(
            part => document.querySelector(part).getBoundingClientRect().top)"""
    )
    assert first < then
    shown = page.locator("#findings").text_content()
    for (finding,) in marts(release_file, "select finding from marts.key_findings"):
        assert finding in shown


# --- true to the marts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chart", "query"),
    [
        (
            "status",
            "select status, format('{:,}', events), format('{:.1f} %', 100 * event_share) "
            "from marts.compliance_by_status",
        ),
        (
            "region-rate",
            "select region, format('{:,}', events), format('{:,}', violation_events), "
            "format('{:.1f} %', 100 * violation_rate), "
            "format('{:.1f} %', 100 * violation_rate_low), "
            "format('{:.1f} %', 100 * violation_rate_high), "
            "format('{:+.2f}', 100 * rate_difference) from marts.compliance_by_region",
        ),
        (
            "event-type-share",
            "select event_type, format('{:,}', events), format('{:.1f} %', 100 * compliant_rate), "
            "format('{:.1f} %', 100 * warning_rate), format('{:.1f} %', 100 * violation_rate) "
            "from marts.compliance_by_event_type",
        ),
        (
            "hour-events",
            "select format('{:02d}:00', event_hour), format('{:,}', events) "
            "from marts.compliance_by_hour",
        ),
        (
            "day-events",
            "select event_date::text, format('{:,}', events), format('{:,}', compliant_events), "
            "format('{:,}', warning_events), format('{:,}', violation_events) "
            "from marts.compliance_by_date",
        ),
        (
            "duration",
            "select bin_number::text, format('{:,.2f}', bin_start), format('{:,.2f}', bin_end), "
            "format('{:,}', frequency) from marts.session_duration_histogram",
        ),
        (
            "quarantine",
            "select rejection_reason, format('{:,}', quarantined_rows) "
            "from marts.quarantine_by_rejection_reason",
        ),
        (
            "top-users",
            "select risk_rank::text, user_id::text from marts.top_risk_users",
        ),
    ],
)
def test_tables_hold_what_the_marts_hold(report, release_file, open_report, chart, query):
    expected = marts(release_file, query)
    shown = [tuple(row[: len(expected[0])]) for row in open_report(report).table(chart)]
    assert sorted(shown) == sorted(expected)


def test_rates_are_drawn_in_display_order_with_their_intervals(report, release_file, open_report):
    """The bars end where the intervals end: pixels grow with the values, and nothing is cut off."""
    page = open_report(report).page
    drawn = page.evaluate(
        """() => {
            const view = reportViews["region-rate"];
            const x = view.scale("x");
            return {
                rows: view.data("source_0").map(row => [
                    row.name, row.violation_rate, row.violation_rate_low, row.violation_rate_high,
                ]),
                last: x.domain()[1],
            };
        }"""
    )
    expected = marts(
        release_file,
        "select region, violation_rate, violation_rate_low, violation_rate_high "
        "from marts.compliance_by_region order by display_order",
    )
    assert [tuple(row) for row in drawn["rows"]] == [
        (name, *(pytest.approx(value) for value in values)) for name, *values in expected
    ]
    assert drawn["last"] >= max(row[3] for row in expected)


def test_verdicts_are_called_by_their_names(release_file, open_report, tmp_path):
    """One region of each verdict: only that which differs is drawn in the colour of violations."""
    release = changed_release(
        release_file,
        tmp_path,
        "update marts.compliance_by_region set verdict = case display_order "
        "when 1 then 'differs' when 2 then 'too_few' else 'no_evidence' end, "
        "rate_difference = 0.0123",
    )
    opened = open_report(build_report(release, tmp_path / "report.html"))
    texts = opened.page.locator("#chart-region-rate svg text").all_text_contents()
    assert texts.count("▲ differs: +1.23 points") == 1
    assert texts.count("too few events to tell") == 1
    assert texts.count("no evidence of a difference") == 3
    fills = opened.page.evaluate(
        """() => [...document.querySelectorAll("#chart-region-rate g.mark-symbol path")]
            .map(path => path.getAttribute("fill"))"""
    )
    assert fills == ["var(--status-violation)", "var(--muted)"] + 3 * ["var(--surface)"]


def test_each_status_has_its_own_colour_and_pattern(report, release_file, open_report):
    page = open_report(report).page
    for status, color in marts(
        release_file, "select status, color from marts.compliance_by_status"
    ):
        used = page.evaluate(
            "status => getComputedStyle(document.querySelector(`#status-${status} rect`)).fill",
            status,
        )
        assert used == "rgb({}, {}, {})".format(*bytes.fromhex(color[1:]))
    fills = page.evaluate(
        """() => [...document.querySelectorAll("#chart-status g.mark-rect path")]
            .map(path => [path.__data__.datum.status, path.getAttribute("fill")])"""
    )
    assert fills == [[status, f"url(#status-{status})"] for status, _ in fills]
    assert len(fills) == 3


# --- what the reader can do ----------------------------------------------------------------------


def test_status_buttons_filter_all_status_charts(report, open_report):
    opened = open_report(report)
    charts = ("status", "region-share", "regulation-events", "event-type-share", "sharing-share")
    before = {chart: opened.drawn(chart, "rect") for chart in charts}
    opened.page.click("#chart-region-share button[data-status=compliant]")
    opened.page.wait_for_timeout(200)
    after = {chart: opened.drawn(chart, "rect") for chart in charts}
    assert after == {chart: number * 2 // 3 for chart, number in before.items()}
    pressed = opened.page.locator("button[data-status=compliant][aria-pressed=false]")
    assert pressed.count() == len(charts)

    opened.page.click("#chart-status button[data-status=compliant]")
    opened.page.wait_for_timeout(200)
    assert {chart: opened.drawn(chart, "rect") for chart in charts} == before


def test_hiding_the_last_status_shows_all_again(report, open_report):
    opened = open_report(report)
    for status in ("compliant", "warning", "violation"):
        opened.page.click(f"#chart-status button[data-status={status}]")
    assert opened.page.locator("#chart-status button[aria-pressed=true]").count() == 3


def test_region_is_picked_from_the_list_and_in_the_grid(report, release_file, open_report):
    opened = open_report(report)
    regions = [
        name
        for (name,) in marts(release_file, "select distinct region from marts.compliance_by_region")
    ]

    def shown() -> set[str]:
        return set(
            opened.page.evaluate(
                """() => [...document.querySelectorAll(
                    "#chart-regulation-within-region .heading_marks text")]
                    .map(text => text.__data__.datum.region)"""
            )
        )

    for region in regions:
        opened.page.select_option("#region", region)
        opened.page.wait_for_timeout(100)
        assert shown() == {region}
        visible = opened.page.evaluate(
            """() => [...document.querySelectorAll(
                "#chart-regulation-within-region tbody tr:not([hidden]) th")]
                .map(cell => cell.textContent)"""
        )
        assert set(visible) == {region}
    cell = opened.page.locator("#chart-region-regulation g.mark-rect path").first
    picked = cell.evaluate("path => path.__data__.datum.region")
    cell.dispatch_event("click")
    box = cell.bounding_box()
    opened.page.mouse.click(box["x"] + 3, box["y"] + 3)
    opened.page.wait_for_timeout(100)
    assert shown() == {picked}
    assert opened.page.input_value("#region") == picked


def test_dates_narrow_the_days(report, open_report):
    opened = open_report(report)
    first = opened.page.get_attribute("#first-day", "min")
    days = len(opened.table("day-rate"))
    third = opened.table("day-rate")[2][0]
    opened.page.fill("#last-day", third)
    opened.page.dispatch_event("#last-day", "change")
    opened.page.wait_for_timeout(200)
    assert opened.drawn("day-rate", "symbol") <= 3 < days
    visible = opened.page.locator("#chart-day-rate tbody tr:not([hidden]) th")
    assert visible.all_text_contents()[0] == first
    assert visible.count() == 3

    opened.page.click("#all-days")
    opened.page.wait_for_timeout(200)
    assert visible.count() == days


def test_brush_narrows_the_days(report, open_report):
    opened = open_report(report)
    days = len(opened.table("day-rate"))
    before = opened.drawn("day-rate", "symbol")
    opened.page.locator("#chart-day-events").scroll_into_view_if_needed()
    box = opened.page.locator("#chart-day-events svg").bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    opened.page.mouse.up()
    opened.page.wait_for_timeout(300)
    visible = opened.page.locator("#chart-day-rate tbody tr:not([hidden])").count()
    assert 1 < visible < days / 2
    assert opened.drawn("day-rate", "symbol") == visible < before
    assert opened.page.input_value("#first-day") > opened.page.get_attribute("#first-day", "min")


def test_keyboard_reaches_the_findings_and_the_buttons(report, open_report):
    page = open_report(report).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
    page.locator("#chart-status button[data-status=warning]").focus()
    page.keyboard.press("Space")
    assert (
        page.get_attribute("#chart-status button[data-status=warning]", "aria-pressed") == "false"
    )
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


# --- every screen, and paper ---------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_nothing_is_wider_than_the_screen(report, open_report, width):
    opened = open_report(report, width=width)
    assert opened.width_of_page() == width
    wider = opened.page.evaluate(
        """() => [...document.querySelectorAll(".chart svg")].filter(svg => {
            const card = svg.closest("figure").getBoundingClientRect();
            return [svg, ...svg.querySelectorAll("text")].some(part => {
                const box = part.getBoundingClientRect();
                return box.width && (box.right > card.right + 1 || box.left < card.left - 1);
            });
        }).map(svg => svg.closest("figure").id)"""
    )
    assert wider == []


def test_dark_mode_changes_the_page_and_the_charts(report, open_report):
    def colors(scheme: str) -> list[str]:
        return open_report(report, color_scheme=scheme).page.evaluate(
            """() => [
                getComputedStyle(document.body).backgroundColor,
                getComputedStyle(document.querySelector("#chart-status svg text")).fill,
                getComputedStyle(document.querySelector("#chart-hour-events .mark-rect path")).fill,
            ]"""
        )

    assert all(light != dark for light, dark in zip(colors("light"), colors("dark"), strict=True))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 360)])
def test_axe_finds_nothing_serious(report, open_report, scheme, width):
    # The report's content security policy keeps out axe as well.
    opened = open_report(report, width=width, color_scheme=scheme, bypass_csp=True)
    # Rows are all made alike, and thousands of them keep axe busy for minutes.
    opened.page.evaluate(
        """() => {
            document.querySelectorAll("details").forEach(part => part.open = true);
            document.querySelectorAll("tbody tr:nth-child(n+6)").forEach(row => row.remove());
        }"""
    )
    # Charts are images with a description; their inside is hidden from assistive technology.
    found = axe.Axe().run(opened.page, context={"exclude": [[".chart svg"]]})["violations"]
    serious = [
        f"{problem['id']}: {problem['nodes'][0]['html'][:200]}"
        for problem in found
        if problem["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_print_is_light_with_tables_and_whole_charts(report, open_report):
    page = open_report(report, color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    surface = "getComputedStyle(document.documentElement).getPropertyValue('--surface')"
    assert page.evaluate(surface).strip() == "#ffffff"
    assert page.locator("nav").is_hidden()
    assert page.locator("#chart-region-rate table").is_visible()
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.chart svg')].map(svg => svg.clientWidth))"
    )
    assert widest <= 660

    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_paper_holds_all_sections(report, open_report):
    page = open_report(report).page
    sections = page.locator("h2").all_text_contents()
    # An outline names the headings that made it to the paper.
    paper = page.pdf(format="A4", outline=True, tagged=True)
    assert [title for title in sections if f"/Title ({title})".encode() not in paper] == []


# --- hostile and missing input -------------------------------------------------------------------

HOSTILE = """</script><img src=x onerror="window.hacked=1">'"<!-- ${1} \\u003c"""


def test_text_of_the_data_is_never_run(release_file, open_report, tmp_path):
    quoted = HOSTILE.replace("'", "''")
    release = changed_release(
        release_file,
        tmp_path,
        *(
            f"alter table marts.{table} alter user_id type varchar"
            for table in ("dim_users", "top_risk_users")
        ),
        f"update marts.top_risk_users set user_id = '{quoted}' || risk_rank",
        f"update marts.dim_users set user_id = '{quoted}' || user_id",
        *(
            f"update marts.{table} set region = '{quoted}' where region = 'EU'"
            for table in ("compliance_by_region", "compliance_by_region_and_regulation")
        ),
        f"update marts.key_findings set finding = '{quoted}.' where display_order = 1",
    )
    opened = open_report(build_report(release, tmp_path / "report.html"))
    opened.page.select_option("#region", HOSTILE)
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.locator("img").count() == 0
    assert opened.problems == []
    assert HOSTILE in opened.page.locator("#findings").text_content()
    assert opened.table("top-users")[0][1] == f"{HOSTILE}1"
    assert HOSTILE in [row[0] for row in opened.table("region-rate")]
    assert opened.width_of_page() == 1200


def test_release_without_single_users(release_file, open_report, tmp_path):
    release = changed_release(
        release_file,
        tmp_path,
        "drop table marts.dim_users",
        "drop table marts.top_risk_users",
    )
    opened = open_report(build_report(release, tmp_path / "report.html"))
    assert opened.problems == []
    for chart in ("users", "top-users"):
        shown = opened.page.locator(f"#chart-{chart}").text_content()
        assert "does not publish single users" in shown


def test_more_users_than_can_be_drawn_are_sampled_and_said_so(report, release_file, open_report):
    ((users,),) = marts(release_file, "select count(*) from marts.dim_users")
    opened = open_report(report)
    assert opened.drawn("users", "symbol") == min(users, 1000)
    said = "Shown are 1,000 of" in opened.page.locator("#chart-users .note").text_content()
    assert said == (users > 1000)


def test_years_of_days_are_cut_and_said_so(release_file, open_report, tmp_path):
    release = changed_release(
        release_file,
        tmp_path,
        "insert into marts.compliance_by_date select * exclude (i) "
        "replace (event_date - (100 * (i + 1))::integer as event_date) "
        "from marts.compliance_by_date, range(40) series(i)",
    )
    ((days, last),) = marts(
        release, "select count(*), max(event_date) from marts.compliance_by_date"
    )
    report = build_report(release, tmp_path / "report.html")
    assert report.stat().st_size < 2_000_000
    opened = open_report(report)
    assert opened.problems == []
    rows = opened.table("day-rate")
    assert len(rows) == 400
    assert rows[-1][0] == str(last)
    note = opened.page.locator("#chart-day-rate .note").text_content()
    assert f"Shown are the last 400 of {days:,} days." in note


def test_release_without_events(release_file, open_report, tmp_path):
    """Zeros and nulls everywhere: no chart can be drawn, and the page says so."""
    tables = [
        name
        for (name,) in marts(
            release_file,
            "select table_name from information_schema.columns where table_schema = 'marts' "
            "and column_name = 'violation_rate_low' and table_name like 'compliance_by_%'",
        )
    ]
    release = changed_release(
        release_file,
        tmp_path,
        *(
            f"update marts.{table} set events = 0, compliant_events = 0, warning_events = 0, "
            "violation_events = 0, users = 0, event_share = null, compliant_rate = null, "
            "warning_rate = null, violation_rate = null, violation_rate_low = null, "
            "violation_rate_high = null, rate_difference = null, p_adjusted = null, "
            "verdict = 'too_few'"
            for table in tables
            if table != "compliance_by_date"
        ),
        "update marts.compliance_by_status set events = 0, users = 0, event_share = null",
        "update marts.compliance_summary set value_number = null, value_text = null",
        "update marts.session_duration_statistics set events = 0, mean_minutes = null",
        "update marts.session_duration_histogram set bin_start = null, bin_end = null",
        "update marts.user_age_histogram set bin_start = null, bin_end = null",
        "update marts.user_violation_rate_histogram set bin_start = null, bin_end = null",
        "update marts.metric_correlations set pearson = null",
        "delete from marts.compliance_by_date",
        "delete from marts.violation_control_chart",
        "delete from marts.key_findings",
        "delete from marts.dim_users",
        "delete from marts.top_risk_users",
    )
    opened = open_report(build_report(release, tmp_path / "report.html"))
    assert opened.problems == []
    assert opened.page.locator("[data-chart]").count() == 0
    assert opened.page.get_by_text("There are no events to draw.").count() > 20


def test_missing_release_is_said_and_leaves_the_old_report(tmp_path):
    output = tmp_path / "report.html"
    output.write_text("old")
    result = run_report(tmp_path / "release", output)
    assert result.returncode == 1
    assert "run `make build` first" in result.stderr
    assert "Traceback" not in result.stderr
    assert output.read_text() == "old"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("drop table marts.compliance_by_hour", "lacks compliance_by_hour:"),
        (
            "alter table marts.compliance_by_hour drop column verdict",
            "lacks compliance_by_hour.verdict:",
        ),
        ("update marts.compliance_by_status set color = 'red;}'", "is no colour"),
    ],
)
def test_incomplete_release_is_said_and_leaves_the_old_report(
    release_file, tmp_path, statement, message
):
    output = tmp_path / "report.html"
    output.write_text("old")
    result = run_report(changed_release(release_file, tmp_path, statement), output)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ott_compliance.duckdb",
        "report.html",
    ]


def test_file_that_is_no_database_is_said(tmp_path):
    file = tmp_path / "ott_compliance.duckdb"
    file.write_text("region,events\n")
    result = run_report(tmp_path, tmp_path / "report.html")
    assert result.returncode == 1
    assert "cannot be opened as a DuckDB database" in result.stderr
    assert "Traceback" not in result.stderr


def test_output_that_cannot_be_written_is_said(release_file, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = run_report(release_file, tmp_path / "file" / "report.html")
    assert result.returncode == 1
    assert "cannot be written" in result.stderr


def test_release_folder_comes_from_the_environment_and_its_manifest_is_shown(
    release_file, tmp_path
):
    current = tmp_path / "releases" / "current"
    current.mkdir(parents=True)
    shutil.copy(release_file, current / "ott_compliance.duckdb")
    (current / "manifest.json").write_text('{"git_commit": "abc<123", "created_at": "today"}')
    output = tmp_path / "report.html"
    result = subprocess.run(
        [*REPORT, "--output", output],
        env={**os.environ, "OTT_RELEASE_PATH": str(tmp_path / "releases")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "created today, from commit abc&lt;123." in output.read_text("utf-8")


@pytest.mark.parametrize(
    "manifest",
    ["[]", "null", "{", '{"release": {"a": 1}}', '{"release": "\\ud800"}', "[" * 100_000],
)
def test_a_damaged_manifest_is_passed_over(release_file, tmp_path, manifest):
    shutil.copy(release_file, tmp_path / "ott_compliance.duckdb")
    (tmp_path / "manifest.json").write_text(manifest)
    result = run_report(tmp_path, tmp_path / "report.html")
    assert result.returncode == 0, result.stderr
    assert "Release {" not in (tmp_path / "report.html").read_text("utf-8")


def test_help_says_what_is_written_and_from_what():
    result = subprocess.run([*REPORT, "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "OTT_RELEASE_PATH" in result.stdout
    assert "target/compliance_report.html" in result.stdout


def test_the_exposure_names_the_tables_that_the_report_reads(release_file):
    """Also those that no chart names, like the dimensions."""
    exposures = yaml.safe_load((PROJECT / "models" / "marts" / "_exposures.yml").read_text())
    (exposure,) = (e for e in exposures["exposures"] if e["name"] == "ott_compliance_report")
    with Release(release_file) as release:
        tables = Tables(release, with_users=True)
        tables.rows = read = Mock(wraps=tables.rows)
        page(tables)
    assert set(exposure["depends_on"]) == {f"ref('{call.args[0]}')" for call in read.mock_calls}


def test_sections_open_with_the_verdicts_of_all_dimensions_under_their_labels(report, release_file):
    page = report.read_text("utf-8")
    labels = dict(marts(release_file, "select dimension, lower(label) from marts.dimensions"))
    assert {dimension for section in SECTIONS for dimension in section.dimensions} == {*labels}
    shown = re.findall(r'class="verdict">Violation rate by ([^:]+):', page)
    tested = marts(release_file, "select lower(label) from marts.dimensions where is_tested")
    assert sorted(shown) == sorted(label for (label,) in tested)
