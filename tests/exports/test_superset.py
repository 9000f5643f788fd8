"""The Superset dashboard shows the published tables, in a Superset that this file starts."""

import datetime
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests
import yaml
from conftest import PROJECT, clean_environment

from ott.exports.superset import CHARTS, RELEASE_FILE, SCHEMA, Chart

ADMIN, PASSWORD = "admin", secrets.token_urlsafe(16)
# Superset's pages would load a picture that reports their use to others.
CONFIG = """
from superset.config import TALISMAN_CONFIG

TALISMAN_CONFIG["content_security_policy"]["img-src"] = ["'self'", "blob:", "data:"]
"""
SERVER_STARTS_WITHIN = 120  # seconds
DRAWN_WITHIN = 120
NAMES = {chart.name for chart in CHARTS}


def add_release(folder: Path, name: str, source: Path, *statements: str) -> None:
    """Copy a published file into a new release, changed by SQL, and protect it."""
    file = folder / name / RELEASE_FILE.name
    file.parent.mkdir()
    shutil.copyfile(source, file)
    with duckdb.connect(file) as connection:
        for statement in statements:
            connection.execute(statement)
    file.chmod(0o444)


def serve(folder: Path, name: str) -> None:
    """Point `current` to a release, in one step."""
    new_link = folder / ".next"
    new_link.symlink_to(name)
    new_link.replace(folder / RELEASE_FILE.parent)


@pytest.fixture(scope="session")
def releases(release_file, tmp_path_factory) -> Path:
    """A folder of two releases, the first of them current; the second halves some rates."""
    folder = tmp_path_factory.mktemp("releases")
    add_release(folder, "1", release_file)
    add_release(
        folder,
        "2",
        release_file,
        f"update {SCHEMA}.compliance_by_status set event_share = event_share / 2",
        f"update {SCHEMA}.compliance_by_region set violation_rate = violation_rate / 2",
        f"delete from {SCHEMA}.key_findings where display_order > 1",
        f"update {SCHEMA}.violation_control_chart set violation_rate_7_days = null",
    )
    serve(folder, "1")
    return folder


def read(releases: Path, query: str) -> list[dict]:
    """Return what the current release answers."""
    with duckdb.connect((releases / RELEASE_FILE).resolve(), read_only=True) as connection:
        relation = connection.sql(query)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def ott(releases: Path, *arguments: Any, **options: Any) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, PROJECT / "scripts" / "ott", "superset", "--output", *arguments],
        env={**clean_environment(), "OTT_RELEASE_PATH": str(releases)},
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


@pytest.fixture(scope="session")
def bundle(releases, tmp_path_factory) -> Path:
    """The bundle over the current release."""
    path = tmp_path_factory.mktemp("bundle") / "dashboard.zip"
    result = ott(releases, path)
    assert result.returncode == 0, result.stderr
    return path


def read_bundle(bundle: Path) -> dict[str, dict]:
    """Return the content of each file of a bundle, by its path below the bundle's folder."""
    with zipfile.ZipFile(bundle) as archive:
        return {
            name.partition("/")[2]: yaml.safe_load(archive.read(name))
            for name in archive.namelist()
        }


def of_kind(bundle: Path, kind: str) -> list[dict]:
    return [content for name, content in read_bundle(bundle).items() if name.startswith(f"{kind}/")]


# --- the bundle ----------------------------------------------------------------------------------


def test_same_release_gives_the_same_bytes(releases, bundle, tmp_path):
    """The umask says who can read them."""
    again = tmp_path / "again.zip"
    ott(releases, again, umask=0o027)
    assert again.read_bytes() == bundle.read_bytes()
    assert again.stat().st_mode & 0o777 == 0o640
    assert [*tmp_path.iterdir()] == [again]


def test_identifiers_are_unique_and_resolve(bundle):
    identifiers = Counter(file["uuid"] for file in read_bundle(bundle).values() if "uuid" in file)
    assert set(identifiers.values()) == {1}
    (database,), (dashboard,) = of_kind(bundle, "databases"), of_kind(bundle, "dashboards")
    datasets, charts = of_kind(bundle, "datasets"), of_kind(bundle, "charts")
    assert {dataset["database_uuid"] for dataset in datasets} == {database["uuid"]}
    assert {chart["dataset_uuid"] for chart in charts} == {dataset["uuid"] for dataset in datasets}
    places = [place for place in dashboard["position"].values() if isinstance(place, dict)]
    drawn = [place["meta"]["uuid"] for place in places if place["type"] == "CHART"]
    assert sorted(drawn) == sorted(chart["uuid"] for chart in charts)
    assert {chart["slice_name"] for chart in charts} == NAMES


def test_connection_is_read_only_and_follows_current(bundle, releases, tmp_path):
    (database,) = of_kind(bundle, "databases")
    assert database["sqlalchemy_uri"] == f"duckdb:///{releases / RELEASE_FILE}"
    assert database["extra"]["engine_params"]["connect_args"]["read_only"] is True
    assert not database["allow_dml"]
    # Where the server has it elsewhere.
    path = "/data/current/ott_compliance.duckdb"
    ott(releases, tmp_path / "bundle.zip", "--database-path", path)
    (database,) = of_kind(tmp_path / "bundle.zip", "databases")
    assert database["sqlalchemy_uri"] == f"duckdb:///{path}"


def test_columns_are_described_by_the_comments_of_the_release(bundle, releases):
    commented = read(
        releases,
        "select table_name, column_name, comment from duckdb_columns()"
        f" where schema_name = '{SCHEMA}' and comment <> ''",
    )
    described = [
        (dataset["table_name"], column["column_name"], column["description"])
        for dataset in of_kind(bundle, "datasets")
        for column in dataset["columns"]
    ]
    assert {*described} <= {tuple(row.values()) for row in commented}
    assert {name for name, *_ in described} == {chart.table for chart in CHARTS}


def test_the_exposure_names_the_tables_of_the_charts():
    exposures = yaml.safe_load((PROJECT / "models" / "marts" / "_exposures.yml").read_text())
    (superset,) = (e for e in exposures["exposures"] if e["name"] == "ott_compliance_superset")
    assert set(superset["depends_on"]) == {f"ref('{chart.table}')" for chart in CHARTS}


def test_charts_name_dimensions_as_the_release_does(releases):
    for row in read(releases, f"select dimension, singular from {SCHEMA}.dimensions"):
        for chart in CHARTS:
            assert row["dimension"] not in chart.columns or row["singular"] in chart.name


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_chart_uses_no_other_columns_than_it_names(chart, releases):
    for query in chart.queries:
        assert rows_of_the_release(releases, chart, query)


def test_each_status_has_a_colour_of_its_own(bundle, releases):
    (dashboard,) = of_kind(bundle, "dashboards")
    colors = dashboard["metadata"]["label_colors"]
    rows = read(releases, f"select status, color from {SCHEMA}.compliance_by_status")
    statuses = {row["status"]: row["color"] for row in rows}
    assert statuses.items() <= colors.items()
    others = {color for label, color in colors.items() if label not in statuses}
    assert len(set(statuses.values()) - others) == len(statuses)


def test_no_axis_cuts_off_data():
    drawn = [chart for chart in CHARTS if chart.viz_type != "table"]
    assert drawn
    for chart in drawn:
        assert chart.params["truncateYAxis"] is False
        assert chart.params["y_axis_bounds"] == [0, None]


def test_every_comparison_has_its_verdict():
    comparisons = [chart for chart in CHARTS if chart.name.startswith(("Violation", "Verdicts"))]
    assert len(comparisons) == 9
    for chart in comparisons:
        assert {"verdict", "is_out_of_control"} & set(chart.columns), chart.name


@pytest.mark.parametrize("content", [None, b"no database"], ids=["no file", "not a database"])
def test_without_a_release_there_is_one_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / RELEASE_FILE).parent.mkdir()
        (tmp_path / RELEASE_FILE).write_bytes(content)
    result = ott(tmp_path, tmp_path / "bundle.zip")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / RELEASE_FILE) in result.stderr
    assert not (tmp_path / "bundle.zip").exists()


def test_release_that_lacks_a_column_is_named(release_file, tmp_path):
    add_release(tmp_path, "1", release_file, f"alter table {SCHEMA}.key_findings drop verdict")
    serve(tmp_path, "1")
    result = ott(tmp_path, tmp_path / "bundle.zip")
    assert result.returncode == 1
    assert "lacks key_findings.verdict:" in result.stderr


def test_release_without_single_users_gives_a_dashboard_without_them(release_file, tmp_path):
    add_release(tmp_path, "1", release_file, f"drop table {SCHEMA}.top_risk_users")
    serve(tmp_path, "1")
    result = ott(tmp_path, tmp_path / "bundle.zip")
    content = str(read_bundle(tmp_path / "bundle.zip"))
    assert "top_risk_users" not in content and "user_id" not in content
    assert "compliance_by_user_risk_tier" in content
    assert len(of_kind(tmp_path / "bundle.zip", "charts")) == len(CHARTS) - 1
    assert f"Wrote {len(CHARTS) - 1} charts" in result.stdout


# --- what the marts hold -------------------------------------------------------------------------


def sql_of(expression: str | dict) -> str:
    """SQL of a column or metric of a query, with its label."""
    if isinstance(expression, str):
        return f'"{expression}"'
    if expression["expressionType"] == "SQL":
        sql = expression["sqlExpression"]
    else:
        sql = f'{expression["aggregate"]}("{expression["column"]["column_name"]}")'
    return f'{sql} as "{expression["label"]}"'


def rows_of_the_release(releases: Path, chart: Chart, query: dict) -> list[dict]:
    """Answer the query of a chart from the columns that the chart names."""
    metrics = query["metrics"] or []
    selected = ", ".join(sql_of(part) for part in [*query["columns"], *metrics])
    used = ", ".join(f'"{column}"' for column in chart.columns)
    order = ", ".join(f'"{column}"' for column, _ in query["orderby"]) or "all"
    return read(
        releases,
        f"select {selected} from (select {used} from {SCHEMA}.{chart.table})"
        f"{' group by all' if metrics else ''} order by {order}",
    )


def comparable(rows: list[dict], ordered: bool) -> list[list]:
    """Rows as lists of name and value as JSON has them, in an order that does not depend on it."""

    def value(cell: Any) -> Any:
        if isinstance(cell, datetime.date):
            midnight = datetime.datetime.combine(cell, datetime.time(), datetime.UTC)
            return int(midnight.timestamp() * 1000)
        return pytest.approx(cell, rel=1e-12) if isinstance(cell, float) else cell

    rows = rows if ordered else sorted(rows, key=lambda row: str(next(iter(row.values()))))
    return [[(name, value(cell)) for name, cell in sorted(row.items())] for row in rows]


# --- Superset ------------------------------------------------------------------------------------


def installed_superset() -> Path:
    """Return the folder with Superset's programs; installs them where OTT_TEST_SUPERSET says."""
    folder = os.environ.get("OTT_TEST_SUPERSET")
    if not folder:
        pytest.skip("OTT_TEST_SUPERSET names no folder to install Superset in")
    programs = Path(folder) / "bin"
    if not (programs / "superset").exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        requirements = PROJECT / "scripts" / "superset-requirements.txt"
        # Superset 6.1 does not run on Python 3.13.
        python = [uv, "venv", "--python", ">=3.11,<3.13", "--no-python-downloads", folder]
        install = [uv, "pip", "install", "--python", programs / "python", "--require-hashes"]
        for command in (python, [*install, "--requirement", requirements]):
            subprocess.run(command, check=True, timeout=1800)
    return programs


class Superset:
    """A running Superset, and an administrator who is logged in after `log_in`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        # Or a proxy of the machine would get the requests.
        self.session.trust_env = False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return what the API answers."""
        return self.session.request(method, f"{self.url}/api/v1/{path}", timeout=120, **options)

    def get(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Return the result in what the API answers, which must be a success."""
        answer = self.call(method, path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json().get("result")

    def log_in(self) -> None:
        """Log in as the administrator."""
        credentials = {"username": ADMIN, "password": PASSWORD, "provider": "db"}
        token = self.call("POST", "security/login", json=credentials).json()["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.session.headers["X-CSRFToken"] = self.get("security/csrf_token/")

    def import_assets(self, bundle: Path) -> None:
        """Import a bundle; what is there already is overwritten."""
        files = {"bundle": ("bundle.zip", bundle.read_bytes())}
        self.get("assets/import/", "POST", files=files)

    def charts(self) -> dict[str, int]:
        """Return the number of each chart by its name."""
        charts = self.get("chart/?q=(page_size:100)")
        names = {chart["slice_name"]: chart["id"] for chart in charts}
        assert len(names) == len(charts)
        return names

    def rows(self, chart_id: int) -> list[list[dict]]:
        """Return the rows of each query of a chart."""
        context = json.loads(self.get(f"chart/{chart_id}")["query_context"])
        return [result["data"] for result in self.get("chart/data", "POST", json=context)]

    def run_sql(self, sql: str) -> requests.Response:
        """Run SQL in SQL Lab."""
        (database,) = self.get("database/")
        query = {"database_id": database["id"], "sql": sql, "schema": SCHEMA, "runAsync": False}
        return self.call("POST", "sqllab/execute/", json=query)


@pytest.fixture(scope="module")
def superset(bundle, tmp_path_factory) -> Iterator[Superset]:
    """A Superset with the bundle, imported on its command line."""
    program = installed_superset() / "superset"
    home = tmp_path_factory.mktemp("superset")
    (home / "superset_config.py").write_text(CONFIG)
    environment = {
        **clean_environment(),
        "FLASK_APP": "superset",
        "SUPERSET_HOME": str(home),
        "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
        "SUPERSET_CONFIG_PATH": str(home / "superset_config.py"),
    }
    log = (home / "server.log").open("w+")
    started = {"env": environment, "cwd": home, "stdout": log, "stderr": subprocess.STDOUT}
    for arguments in (
        ["db", "upgrade"],
        [
            *("fab", "create-admin", "--username", ADMIN, "--password", PASSWORD),
            *("--firstname", "Ada", "--lastname", "Admin", "--email", "admin@example.com"),
        ],
        ["init"],
        ["import-dashboards", "--path", bundle, "--username", ADMIN],
    ):
        result = subprocess.run([program, *arguments], timeout=600, **started)
        assert result.returncode == 0, Path(log.name).read_text()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = Superset(f"http://127.0.0.1:{port}")
    process = subprocess.Popen([program, "run", "--port", str(port), "--with-threads"], **started)
    try:
        deadline = time.monotonic() + SERVER_STARTS_WITHIN
        while True:
            try:
                server.session.get(f"{server.url}/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                assert process.poll() is None, Path(log.name).read_text()
                assert time.monotonic() < deadline, Path(log.name).read_text()
                time.sleep(0.5)
        server.log_in()
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def assert_charts_show_the_release(superset: Superset, releases: Path) -> None:
    numbers = superset.charts()
    assert set(numbers) == NAMES
    for chart in CHARTS:
        answers = superset.rows(numbers[chart.name])
        for query, answer in zip(chart.queries, answers, strict=True):
            ordered = bool(query["orderby"])
            expected = rows_of_the_release(releases, chart, query)
            assert comparable(answer, ordered) == comparable(expected, ordered), chart.name


@pytest.mark.slow
def test_new_release_shows_without_a_restart(superset, releases):
    """Every chart gives the values of the marts, before and after."""
    assert_charts_show_the_release(superset, releases)
    serve(releases, "2")
    try:
        assert_charts_show_the_release(superset, releases)
    finally:
        serve(releases, "1")
    assert_charts_show_the_release(superset, releases)


@pytest.mark.slow
def test_second_import_restores_and_adds_nothing(superset, bundle):
    before = superset.charts()
    (dashboard,) = superset.get("dashboard/")
    superset.get(f"chart/{before['Key findings']}", "PUT", json={"slice_name": "Renamed"})
    assert superset.charts() != before
    superset.import_assets(bundle)
    assert superset.charts() == before
    assert [found["id"] for found in superset.get("dashboard/")] == [dashboard["id"]]
    assert len(superset.get(f"dashboard/{dashboard['id']}/charts")) == len(CHARTS)
    assert len(superset.get("dataset/?q=(page_size:100)")) == len({chart.table for chart in CHARTS})


@pytest.mark.slow
def test_nothing_can_be_written(superset, releases, bundle, tmp_path):
    file = releases / RELEASE_FILE
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    writes = (
        f"create table {SCHEMA}.intruder as select 1 as one",
        f"delete from {SCHEMA}.key_findings",
        f"update {SCHEMA}.compliance_by_region set events = 0",
        f"drop table {SCHEMA}.key_findings",
    )
    file_accesses = (
        f"copy {SCHEMA}.key_findings to '{tmp_path / 'stolen.csv'}'",
        f"attach '{tmp_path / 'new.duckdb'}'",
        f"select * from read_text('{bundle}')",
    )

    def assert_refused(statements: tuple[str, ...], reason: str) -> None:
        for statement in statements:
            answer = superset.run_sql(statement)
            assert answer.status_code >= 400, statement
            assert reason in answer.json()["errors"][0]["message"], answer.text

    answer = superset.run_sql(f"select 1 as one from {SCHEMA}.key_findings")
    assert answer.status_code == 200, answer.text
    assert_refused(writes, "does not allow for DDL/DML")
    assert_refused(file_accesses, "file system operations are disabled")

    # The connection refuses even where an administrator allows it in Superset.
    (database,) = superset.get("database/")
    superset.get(f"database/{database['id']}", "PUT", json={"allow_dml": True})
    try:
        assert_refused(writes, "read-only mode")
        assert_refused(file_accesses, "file system operations are disabled")
    finally:
        superset.import_assets(bundle)
    assert not superset.get(f"database/{database['id']}")["allow_dml"]
    assert not list(tmp_path.iterdir())
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


# Colours of the fully opaque pixels of a chart, with their number.
COLORS_OF_CHART = """
chart => {
  const counts = {};
  for (const canvas of chart.querySelectorAll('canvas')) {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] < 255) continue;
      const color = [data[i], data[i + 1], data[i + 2]]
        .map(part => part.toString(16).padStart(2, '0')).join('');
      counts['#' + color.toUpperCase()] = (counts['#' + color.toUpperCase()] || 0) + 1;
    }
  }
  return counts;
}
"""


@pytest.mark.slow
def test_dashboard_is_drawn_without_errors(superset, releases, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    answers, asked, blocked = [], [], []
    with playwright.sync_playwright() as tools:
        # Chromium's sandbox does not start for root, which containers run as.
        browser = tools.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        # Tall enough for all rows: Superset draws a chart only when it comes into sight.
        page = browser.new_page(viewport={"width": 1600, "height": 4000})
        page.on("request", lambda request: asked.append(request.url))
        page.on(
            "requestfailed",
            lambda request: blocked.append(request.url) if request.failure == "csp" else None,
        )
        page.on(
            "response",
            lambda answer: answers.append(answer) if "chart/data" in answer.url else None,
        )
        # Answered after the login, it would bring back the session from before.
        page.route("**/superset/log/**", lambda route: route.abort())
        page.goto(f"{superset.url}/login/")
        page.fill("#username", ADMIN)
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/superset/welcome/**")
        page.goto(f"{superset.url}/superset/dashboard/ott-compliance/")
        charts = page.locator("[data-test-chart-name]")
        drawn = charts.locator("canvas, table")
        deadline = time.monotonic() + DRAWN_WITHIN
        while drawn.count() < len(CHARTS) and time.monotonic() < deadline:
            page.wait_for_timeout(500)
        page.wait_for_timeout(3000)  # the bars grow
        page.screenshot(path=tmp_path / "dashboard.png")

        assert page.locator(".ant-alert-error").all_inner_texts() == []
        assert charts.locator(".ant-empty, .loading").count() == 0
        names = [chart.get_attribute("data-test-chart-name") for chart in charts.all()]
        assert {*names} == NAMES
        assert drawn.count() >= len(CHARTS)
        assert len(answers) >= len(CHARTS)
        for answer in answers:
            assert answer.status == 200, answer.text()
            for result in answer.json()["result"]:
                assert result["error"] is None
                assert result["data"]
        colors = page.locator("[data-test-chart-name='Share of events by status']").evaluate(
            COLORS_OF_CHART
        )
        browser.close()
    rows = read(
        releases, f"select event_share, color from {SCHEMA}.compliance_by_status order by 1"
    )
    pixels = [colors.get(row["color"], 0) for row in rows]
    assert pixels == sorted(pixels)
    assert all(pixels)
    sent = set(asked) - set(blocked)
    assert [url for url in sent if not url.startswith((superset.url, "data:", "blob:"))] == []
