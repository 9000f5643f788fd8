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
from conftest import PROJECT, clean_environment, run_ott

from ott.exports.superset import CHARTS, RELEASE_FILE, SCHEMA, Chart

ADMIN, PASSWORD = "admin", secrets.token_urlsafe(16)
# Superset's pages would load a picture that reports their use to others.
CONFIG = """
from superset.config import TALISMAN_CONFIG

TALISMAN_CONFIG["content_security_policy"]["img-src"] = ["'self'", "blob:", "data:"]
"""
PATIENCE = 120  # seconds
NAMES = {chart.name for chart in CHARTS}


def serve(folder: Path, name: str) -> None:
    """Point `current` to a release, in one step."""
    new_link = folder / ".next"
    new_link.symlink_to(name)
    new_link.replace(folder / RELEASE_FILE.parent)


def copy_release(source: Path, file: Path, changes: str = "") -> None:
    """Copy a published file to another place, changed by SQL, and protect it."""
    file.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, file)
    with duckdb.connect(file) as connection:
        connection.execute(f"use {SCHEMA}; {changes}")
    file.chmod(0o444)


@pytest.fixture(scope="session")
def releases(release_file, tmp_path_factory) -> Path:
    """A folder of two releases, the first of them current; the second halves some rates."""
    folder = tmp_path_factory.mktemp("releases")
    copy_release(release_file, folder / "1" / RELEASE_FILE.name)
    changes = """
        update compliance_by_status set event_share = event_share / 2;
        update compliance_by_region set violation_rate = violation_rate / 2;
        delete from key_findings where display_order > 1;
        update violation_control_chart set violation_rate_7_days = null"""
    copy_release(release_file, folder / "2" / RELEASE_FILE.name, changes)
    serve(folder, "1")
    return folder


def read(releases: Path, query: str) -> list[dict]:
    """Return what the current release answers."""
    with duckdb.connect((releases / RELEASE_FILE).resolve(), read_only=True) as connection:
        relation = connection.sql(query)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def ott(releases: Path, *arguments: object, fails: int = 0) -> str:
    """Run the command, which must end as told, and return what it says."""
    result = run_ott("superset", "--output", *arguments, OTT_RELEASE_PATH=str(releases))
    assert result.returncode == fails, result.stderr
    return result.stderr if fails else result.stdout


@pytest.fixture(scope="session")
def bundle(releases, tmp_path_factory) -> Path:
    """The bundle over the current release."""
    path = tmp_path_factory.mktemp("bundle") / "dashboard.zip"
    ott(releases, path)
    return path


def read_bundle(bundle: Path, kind: str = "") -> list[dict]:
    """Return the content of the files of a kind in a bundle."""
    with zipfile.ZipFile(bundle) as archive:
        names = [name for name in archive.namelist() if f"/{kind}" in name]
        return [yaml.safe_load(archive.read(name)) for name in names]


def test_same_release_gives_the_same_bytes(releases, bundle, tmp_path):
    """The umask says who can read them."""
    again = tmp_path / "again.zip"
    umask = os.umask(0o027)
    ott(releases, again)
    os.umask(umask)
    assert again.read_bytes() == bundle.read_bytes()
    assert again.stat().st_mode & 0o777 == 0o640
    assert [*tmp_path.iterdir()] == [again]


def test_identifiers_are_unique_and_resolve(bundle):
    identifiers = Counter(file["uuid"] for file in read_bundle(bundle) if "uuid" in file)
    assert set(identifiers.values()) == {1}
    (database,), (dashboard,) = read_bundle(bundle, "databases"), read_bundle(bundle, "dashboards")
    datasets, charts = read_bundle(bundle, "datasets"), read_bundle(bundle, "charts")
    assert {dataset["database_uuid"] for dataset in datasets} == {database["uuid"]}
    assert {chart["dataset_uuid"] for chart in charts} == {dataset["uuid"] for dataset in datasets}
    places = [place for place in dashboard["position"].values() if isinstance(place, dict)]
    drawn = [place["meta"]["uuid"] for place in places if place["type"] == "CHART"]
    assert sorted(drawn) == sorted(chart["uuid"] for chart in charts)
    assert {chart["slice_name"] for chart in charts} == NAMES


def test_connection_is_read_only_and_follows_current(bundle, releases, tmp_path):
    (database,) = read_bundle(bundle, "databases")
    assert database["sqlalchemy_uri"] == f"duckdb:///{releases / RELEASE_FILE}"
    assert database["extra"]["engine_params"]["connect_args"]["read_only"] is True
    assert not database["allow_dml"]
    # Where the server has it elsewhere.
    path = "/data/current/ott_compliance.duckdb"
    ott(releases, tmp_path / "bundle.zip", "--database-path", path)
    (database,) = read_bundle(tmp_path / "bundle.zip", "databases")
    assert database["sqlalchemy_uri"] == f"duckdb:///{path}"


def test_columns_are_described_by_the_comments_of_the_release(bundle, releases):
    query = f"from duckdb_columns() where schema_name = '{SCHEMA}' and comment <> ''"
    found = read(releases, f"select comment, table_name, column_name {query}")
    comments = {tuple(row.values()) for row in found}
    for dataset in read_bundle(bundle, "datasets"):
        for column in dataset["columns"]:
            described = (column["description"], dataset["table_name"], column["column_name"])
            assert described in comments


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
    (dashboard,) = read_bundle(bundle, "dashboards")
    colors = dashboard["metadata"]["label_colors"]
    rows = read(releases, f"select status, color from {SCHEMA}.compliance_by_status")
    statuses = {row["status"]: row["color"] for row in rows}
    assert statuses.items() <= colors.items()
    others = {color for label, color in colors.items() if label not in statuses}
    assert len(set(statuses.values()) - others) == len(statuses)


def test_no_axis_cuts_off_data_and_every_comparison_has_its_verdict():
    drawn = [chart.params for chart in CHARTS if chart.viz_type != "table"]
    assert {chart["truncateYAxis"] for chart in drawn} == {False}
    assert all(chart["y_axis_bounds"] == [0, None] for chart in drawn)
    comparisons = [chart for chart in CHARTS if chart.name.startswith(("Violation", "Verdicts"))]
    assert len(comparisons) == 13
    for chart in comparisons:
        assert {"verdict", "is_out_of_control"} & chart.columns, chart.name


def test_what_a_release_lacks_is_said_in_a_sentence(release_file, tmp_path):
    file, output = tmp_path / RELEASE_FILE, tmp_path / "bundle.zip"

    def assert_said(words: str) -> None:
        said = ott(tmp_path, output, fails=1)
        assert words in said and str(file) in said
        assert said.count("\n") == 1
        assert not output.exists()

    assert_said("There is no release")
    file.parent.mkdir()
    file.write_bytes(b"no database")
    assert_said("cannot be opened")
    copy_release(release_file, file, "alter table key_findings drop verdict")
    assert_said("lacks key_findings.verdict:")


def test_release_without_single_users_gives_a_dashboard_without_them(release_file, tmp_path):
    copy_release(release_file, tmp_path / RELEASE_FILE, "drop table top_risk_users")
    said = ott(tmp_path, tmp_path / "bundle.zip")
    content = str(read_bundle(tmp_path / "bundle.zip"))
    assert "top_risk_users" not in content and "user_id" not in content
    assert "compliance_by_user_risk_tier" in content
    assert len(read_bundle(tmp_path / "bundle.zip", "charts")) == len(CHARTS) - 1
    assert f"Wrote {len(CHARTS) - 1} charts" in said


def rows_of_the_release(releases: Path, chart: Chart, query: dict) -> list[dict]:
    """Answer the query of a chart from the columns that the chart names."""

    def sql_of(expression: str | dict) -> str:
        match expression:
            case {"sqlExpression": sql}:
                return f'{sql} as "{expression["label"]}"'
            case {"aggregate": function, "column": column}:
                return f'{function}("{column["column_name"]}") as "{expression["label"]}"'
        return f'"{expression}"'

    metrics = query["metrics"] or []
    order = [f'"{column}"' for column, _ in query["orderby"]] or ["all"]
    return read(
        releases,
        f"select {', '.join(map(sql_of, [*query['columns'], *metrics]))}"
        f" from (select {', '.join(chart.columns)} from {SCHEMA}.{chart.table})"
        f"{' group by all' if metrics else ''} order by {', '.join(order)}",
    )


def comparable(rows: list[dict], ordered: bool) -> list[list]:
    """Rows as lists of name and value as JSON has them, in an order that does not depend on it."""

    def value(cell: Any) -> Any:
        if isinstance(cell, datetime.date):
            return datetime.datetime(*cell.timetuple()[:3], tzinfo=datetime.UTC).timestamp() * 1000
        return pytest.approx(cell, rel=1e-12) if isinstance(cell, float) else cell

    rows = rows if ordered else sorted(rows, key=lambda row: str(next(iter(row.values()))))
    return [[(name, value(cell)) for name, cell in sorted(row.items())] for row in rows]


# --- Superset ------------------------------------------------------------------------------------


class Superset(requests.Session):
    """An administrator's session with the API of the Superset at `url`."""

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Return what the API answers, which must be a success."""
        answer = self.request(method, f"{self.url}/api/v1/{path}", timeout=120, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def import_assets(self, bundle: Path) -> None:
        """Import a bundle; what is there already is overwritten."""
        self.ask("assets/import/", "POST", files={"bundle": ("bundle.zip", bundle.read_bytes())})

    def charts(self) -> dict[str, int]:
        """Return the number of each chart by its name."""
        charts = self.ask("chart/?q=(page_size:100)")["result"]
        names = {chart["slice_name"]: chart["id"] for chart in charts}
        assert len(names) == len(charts)
        return names


@pytest.fixture(scope="module")
def superset(bundle, tmp_path_factory) -> Iterator[Superset]:
    """A Superset with the bundle, installed where OTT_TEST_SUPERSET says, if it is not there."""
    folder = os.environ.get("OTT_TEST_SUPERSET")
    if not folder:
        pytest.skip("OTT_TEST_SUPERSET names no folder to install Superset in")
    program = Path(folder) / "bin" / "superset"
    if not program.exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        requirements = PROJECT / "scripts" / "superset-requirements.txt"
        # Superset 6.1 does not run on Python 3.13.
        python = [uv, "venv", "--python", ">=3.11,<3.13", "--no-python-downloads", folder]
        install = [uv, "pip", "install", "--python", program.with_name("python")]
        for command in (python, [*install, "--require-hashes", "--requirement", requirements]):
            subprocess.run(command, check=True, timeout=1800)
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
    create_admin = f"fab create-admin --username {ADMIN} --password {PASSWORD}"
    for command in (
        "db upgrade",
        f"{create_admin} --firstname Ada --lastname Admin --email admin@example.com",
        "init",
        f"import-dashboards --path {bundle} --username {ADMIN}",
    ):
        result = subprocess.run([program, *command.split()], timeout=600, **started)
        assert result.returncode == 0, Path(log.name).read_text()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = Superset()
    server.url = f"http://127.0.0.1:{port}"
    # Or a proxy of the machine would get the requests.
    server.trust_env = False
    credentials = {"username": ADMIN, "password": PASSWORD, "provider": "db"}
    process = subprocess.Popen([program, "run", "--port", str(port), "--with-threads"], **started)
    try:
        deadline = time.monotonic() + PATIENCE
        while "Authorization" not in server.headers:
            try:
                token = server.ask("security/login", "POST", json=credentials)["access_token"]
                server.headers["Authorization"] = f"Bearer {token}"
            except requests.ConnectionError:
                assert process.poll() is None, Path(log.name).read_text()
                assert time.monotonic() < deadline, Path(log.name).read_text()
                time.sleep(0.5)
        server.headers["X-CSRFToken"] = server.ask("security/csrf_token/")["result"]
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def assert_charts_show_the_release(superset: Superset, releases: Path) -> None:
    numbers = superset.charts()
    assert set(numbers) == NAMES
    for chart in CHARTS:
        context = superset.ask(f"chart/{numbers[chart.name]}")["result"]["query_context"]
        answers = superset.ask("chart/data", "POST", json=json.loads(context))["result"]
        for query, answer in zip(chart.queries, answers, strict=True):
            ordered = bool(query["orderby"])
            expected = rows_of_the_release(releases, chart, query)
            assert comparable(answer["data"], ordered) == comparable(expected, ordered), chart.name


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
    (dashboard,) = superset.ask("dashboard/")["result"]
    superset.ask(f"chart/{before['Key findings']}", "PUT", json={"slice_name": "Renamed"})
    assert superset.charts() != before
    superset.import_assets(bundle)
    assert superset.charts() == before
    assert [found["id"] for found in superset.ask("dashboard/")["result"]] == [dashboard["id"]]
    assert len(superset.ask(f"dashboard/{dashboard['id']}/charts")["result"]) == len(CHARTS)
    datasets = superset.ask("dataset/?q=(page_size:100)")["result"]
    assert len(datasets) == len({chart.table for chart in CHARTS})


@pytest.mark.slow
def test_nothing_can_be_written(superset, releases, bundle, tmp_path):
    file = releases / RELEASE_FILE
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (database,) = superset.ask("database/")["result"]
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

    def run_sql(sql: str) -> requests.Response:
        query = {"database_id": database["id"], "sql": sql, "schema": SCHEMA, "runAsync": False}
        return superset.post(f"{superset.url}/api/v1/sqllab/execute/", json=query, timeout=120)

    def assert_refused(reason_for_writes: str) -> None:
        reasons = dict.fromkeys(writes, reason_for_writes)
        reasons |= dict.fromkeys(file_accesses, "file system operations are disabled")
        for statement, reason in reasons.items():
            answer = run_sql(statement)
            assert answer.status_code >= 400, statement
            assert reason in answer.json()["errors"][0]["message"], answer.text

    answer = run_sql(f"select 1 as one from {SCHEMA}.key_findings")
    assert answer.status_code == 200, answer.text
    assert_refused("does not allow for DDL/DML")
    # The connection refuses even where an administrator allows it in Superset.
    superset.ask(f"database/{database['id']}", "PUT", json={"allow_dml": True})
    try:
        assert_refused("read-only mode")
    finally:
        superset.import_assets(bundle)
    assert not superset.ask(f"database/{database['id']}")["result"]["allow_dml"]
    assert not list(tmp_path.iterdir())
    assert hashlib.sha256(file.read_bytes()).hexdigest() == digest


# Colours of the fully opaque pixels of a chart, with their number.
COLORS_OF_CHART = """
chart => {
  const counts = {};
  for (const canvas of chart.querySelectorAll('canvas')) {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) {
      const color = (data[i] << 16 | data[i + 1] << 8 | data[i + 2]).toString(16).padStart(6, '0');
      const name = '#' + color.toUpperCase();
      if (data[i + 3] === 255) counts[name] = (counts[name] || 0) + 1;
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
    answers, asked, failed = [], [], []
    with playwright.sync_playwright() as tools:
        # Chromium's sandbox does not start for root, which containers run as.
        browser = tools.chromium.launch(executable_path=chromium, chromium_sandbox=False)
        # Tall enough for all rows: Superset draws a chart only when it comes into sight.
        page = browser.new_page(viewport={"width": 1600, "height": 4000})
        page.on("request", asked.append)
        page.on("requestfailed", failed.append)
        page.on("response", answers.append)
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
        deadline = time.monotonic() + PATIENCE
        while drawn.count() < len(CHARTS) and time.monotonic() < deadline:
            page.wait_for_timeout(500)
        page.wait_for_timeout(3000)  # the bars grow
        page.screenshot(path=tmp_path / "dashboard.png")

        assert page.locator(".ant-alert-error").all_inner_texts() == []
        assert charts.locator(".ant-empty, .loading").count() == 0
        names = [chart.get_attribute("data-test-chart-name") for chart in charts.all()]
        assert {*names} == NAMES
        assert drawn.count() >= len(CHARTS)
        answers = [answer for answer in answers if "chart/data" in answer.url]
        assert len(answers) >= len(CHARTS)
        for answer in answers:
            assert answer.status == 200, answer.text()
            for result in answer.json()["result"]:
                assert result["error"] is None
                assert result["data"]
        blocked = {request.url for request in failed if request.failure == "csp"}
        sent = {request.url for request in asked} - blocked
        statuses = page.locator("[data-test-chart-name='Share of events by status']")
        colors = statuses.evaluate(COLORS_OF_CHART)
        browser.close()
    rows = read(
        releases, f"select event_share, color from {SCHEMA}.compliance_by_status order by 1"
    )
    pixels = [colors.get(row["color"], 0) for row in rows]
    assert pixels == sorted(pixels)
    assert all(pixels)
    assert [url for url in sent if not url.startswith((superset.url, "data:", "blob:"))] == []
