"""The Superset dashboard shows the published tables, in a Superset that this file starts."""

import datetime
import hashlib
import http.cookiejar
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest
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


@dataclass
class Releases:
    """A folder of releases, `current` pointing to one of them."""

    folder: Path

    def add(self, name: str, source: Path, *statements: str) -> None:
        """Copy a published file into a new release, changed by SQL, and protect it."""
        file = self.folder / name / RELEASE_FILE.name
        file.parent.mkdir()
        shutil.copyfile(source, file)
        with duckdb.connect(str(file)) as connection:
            for statement in statements:
                connection.execute(statement)
        file.chmod(0o444)

    def publish(self, name: str) -> None:
        """Point `current` to a release, in one step."""
        new_link = self.folder / ".next"
        new_link.symlink_to(name)
        new_link.replace(self.folder / RELEASE_FILE.parent)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open the current release."""
        return duckdb.connect(str((self.folder / RELEASE_FILE).resolve()), read_only=True)


@pytest.fixture(scope="session")
def releases(release_file, tmp_path_factory) -> Releases:
    """Two releases, the first of them current; the second halves some rates."""
    releases = Releases(tmp_path_factory.mktemp("releases"))
    releases.add("1", release_file)
    releases.add(
        "2",
        release_file,
        f"update {SCHEMA}.compliance_by_status set event_share = event_share / 2",
        f"update {SCHEMA}.compliance_by_region set violation_rate = violation_rate / 2",
        f"delete from {SCHEMA}.key_findings where display_order > 1",
        f"update {SCHEMA}.violation_control_chart set violation_rate_7_days = null",
    )
    releases.publish("1")
    return releases


def write_bundle(releases: Path, *arguments: Any) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, PROJECT / "scripts" / "ott", "superset", *map(str, arguments)],
        env={**clean_environment(), "OTT_RELEASE_PATH": str(releases)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="session")
def bundle(releases, tmp_path_factory) -> Path:
    """The bundle over the current release."""
    path = tmp_path_factory.mktemp("bundle") / "dashboard.zip"
    result = write_bundle(releases.folder, "--output", path)
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture(scope="session")
def assets(bundle) -> dict[str, dict]:
    """The content of each file of the bundle, by its path below the bundle's folder."""
    with zipfile.ZipFile(bundle) as archive:
        return {
            name.partition("/")[2]: yaml.safe_load(archive.read(name))
            for name in archive.namelist()
        }


def of_kind(assets: dict[str, dict], kind: str) -> list[dict]:
    return [asset for name, asset in assets.items() if name.startswith(f"{kind}/")]


# --- the bundle ----------------------------------------------------------------------------------


def test_same_release_gives_the_same_bytes(releases, bundle, tmp_path):
    again = tmp_path / "again.zip"
    assert write_bundle(releases.folder, "--output", again).returncode == 0
    assert again.read_bytes() == bundle.read_bytes()


def test_chart_names_are_unique():
    assert len({chart.name for chart in CHARTS}) == len(CHARTS)


def test_identifiers_are_unique_and_resolve(assets):
    identifiers = Counter(asset["uuid"] for asset in assets.values() if "uuid" in asset)
    assert set(identifiers.values()) == {1}
    (database,) = of_kind(assets, "databases")
    datasets, charts = of_kind(assets, "datasets"), of_kind(assets, "charts")
    assert {dataset["database_uuid"] for dataset in datasets} == {database["uuid"]}
    assert {chart["dataset_uuid"] for chart in charts} == {dataset["uuid"] for dataset in datasets}
    (dashboard,) = of_kind(assets, "dashboards")
    places = [
        place["meta"]
        for place in dashboard["position"].values()
        if isinstance(place, dict) and place["type"] == "CHART"
    ]
    assert sorted(place["uuid"] for place in places) == sorted(chart["uuid"] for chart in charts)


def test_connection_is_read_only_and_follows_current(assets, releases):
    (database,) = of_kind(assets, "databases")
    assert database["sqlalchemy_uri"] == f"duckdb:///{releases.folder / RELEASE_FILE}"
    assert database["extra"]["engine_params"]["connect_args"]["read_only"] is True
    assert not database["allow_dml"]


def test_database_path_is_that_of_the_server(releases, tmp_path):
    output = tmp_path / "bundle.zip"
    path = "/data/current/ott_compliance.duckdb"
    assert (
        write_bundle(releases.folder, "--output", output, "--database-path", path).returncode == 0
    )
    with zipfile.ZipFile(output) as archive:
        database = yaml.safe_load(archive.read("ott_compliance/databases/ott_compliance.yaml"))
    assert database["sqlalchemy_uri"] == f"duckdb:///{path}"
    relative = write_bundle(releases.folder, "--database-path", "ott_compliance.duckdb")
    assert relative.returncode == 2
    assert "must be absolute" in relative.stderr


def test_columns_are_described_by_the_comments_of_the_release(assets, releases):
    with releases.connect() as connection:
        comments = {
            (table, column): comment
            for table, column, comment in connection.execute(
                "select table_name, column_name, comment from duckdb_columns()"
                " where schema_name = ?",
                [SCHEMA],
            ).fetchall()
        }
    for dataset in of_kind(assets, "datasets"):
        for column in dataset["columns"]:
            assert column["description"], column["column_name"]
            assert column["description"] == comments[dataset["table_name"], column["column_name"]]


def test_the_exposure_names_the_tables_of_the_charts():
    exposures = yaml.safe_load((PROJECT / "models" / "marts" / "_exposures.yml").read_text())
    (superset,) = (e for e in exposures["exposures"] if e["name"] == "ott_compliance_superset")
    assert set(superset["depends_on"]) == {f"ref('{chart.table}')" for chart in CHARTS}


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
def test_chart_uses_no_other_columns_than_it_names(chart, releases):
    with releases.connect() as connection:
        for query in chart.queries:
            assert rows_of_the_release(connection, chart, query)


def test_each_status_has_a_colour_of_its_own(assets, releases):
    (dashboard,) = of_kind(assets, "dashboards")
    colors = dashboard["metadata"]["label_colors"]
    with releases.connect() as connection:
        statuses = dict(
            connection.sql(f"select status, color from {SCHEMA}.compliance_by_status").fetchall()
        )
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
    result = write_bundle(tmp_path, "--output", tmp_path / "bundle.zip")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / RELEASE_FILE) in result.stderr
    assert not (tmp_path / "bundle.zip").exists()


def test_release_that_lacks_a_column_is_named(release_file, tmp_path):
    releases = Releases(tmp_path)
    releases.add("old", release_file, f"alter table {SCHEMA}.key_findings drop column verdict")
    releases.publish("old")
    result = write_bundle(tmp_path, "--output", tmp_path / "bundle.zip")
    assert result.returncode == 1
    assert "lacks key_findings.verdict:" in result.stderr


def test_release_without_single_users_gives_a_dashboard_without_them(release_file, tmp_path):
    releases = Releases(tmp_path)
    releases.add("no users", release_file, f"drop table {SCHEMA}.top_risk_users")
    releases.publish("no users")
    result = write_bundle(tmp_path, "--output", tmp_path / "bundle.zip")
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        content = "".join(archive.read(name).decode() for name in archive.namelist())
        charts = [name for name in archive.namelist() if "/charts/" in name]
    assert "top_risk_users" not in content and "user_id" not in content
    assert "compliance_by_user_risk_tier" in content
    assert len(charts) == len(CHARTS) - 1
    assert f"Wrote {len(charts)} charts" in result.stdout


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_says_who_can_read_the_bundle(releases, tmp_path, umask):
    before = os.umask(umask)
    try:
        write_bundle(releases.folder, "--output", tmp_path / "bundle.zip")
    finally:
        os.umask(before)
    assert (tmp_path / "bundle.zip").stat().st_mode & 0o777 == 0o666 & ~umask
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


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


def rows_of_the_release(
    connection: duckdb.DuckDBPyConnection, chart: Chart, query: dict
) -> list[dict]:
    """Answer the query of a chart from the columns that the chart names."""
    metrics = query["metrics"] or []
    selected = ", ".join(sql_of(part) for part in [*query["columns"], *metrics])
    used = ", ".join(f'"{column}"' for column in chart.columns)
    order = ", ".join(f'"{column}"' for column, _ in query["orderby"]) or "all"
    relation = connection.sql(
        f"select {selected} from (select {used} from {SCHEMA}.{chart.table})"
        + (" group by all" if metrics else "")
        + f" order by {order}"
    )
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


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


@dataclass
class Superset:
    """A running Superset, and an administrator who is logged in."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.opener = urllib.request.build_opener(
            # Or a proxy of the machine would get the requests.
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and the decoded JSON that the API answers."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}", body, {**self.headers, **headers}, method=method
        )
        try:
            with self.opener.open(request, timeout=120) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def get(self, path: str) -> Any:
        """Return what the API answers, which must be a success."""
        status, answer = self.call("GET", path)
        assert status == 200, answer
        return answer["result"]

    def log_in(self) -> None:
        """Log in as the administrator."""
        credentials = {"username": ADMIN, "password": PASSWORD, "provider": "db"}
        _, answer = self.call("POST", "security/login", credentials)
        self.headers["Authorization"] = f"Bearer {answer['access_token']}"
        self.headers["X-CSRFToken"] = self.get("security/csrf_token/")

    def import_assets(self, bundle: Path) -> None:
        """Import a bundle; what is there already is overwritten."""
        part = (
            b"--part\r\nContent-Disposition: form-data; name=bundle; filename=bundle.zip\r\n\r\n"
            + bundle.read_bytes()
            + b"\r\n--part--\r\n"
        )
        content_type = {"Content-Type": "multipart/form-data; boundary=part"}
        status, answer = self.call("POST", "assets/import/", part, **content_type)
        assert status == 200, answer

    def charts(self) -> dict[str, int]:
        """Return the number of each chart by its name."""
        charts = self.get("chart/?q=(page_size:100)")
        names = {chart["slice_name"]: chart["id"] for chart in charts}
        assert len(names) == len(charts)
        return names

    def rows(self, chart_id: int) -> list[list[dict]]:
        """Return the rows of each query of a chart."""
        context = json.loads(self.get(f"chart/{chart_id}")["query_context"])
        status, answer = self.call("POST", "chart/data", context)
        assert status == 200, answer
        return [result["data"] for result in answer["result"]]

    def run_sql(self, sql: str) -> tuple[int, Any]:
        """Run SQL in SQL Lab."""
        (database,) = self.get("database/")
        query = {"database_id": database["id"], "sql": sql, "schema": SCHEMA, "runAsync": False}
        return self.call("POST", "sqllab/execute/", query)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def superset(bundle, tmp_path_factory) -> Iterator[Superset]:
    """A Superset with the bundle, imported on its command line."""
    programs = installed_superset()
    home = tmp_path_factory.mktemp("superset")
    (home / "superset_config.py").write_text(CONFIG)
    environment = {
        **clean_environment(),
        "FLASK_APP": "superset",
        "SUPERSET_HOME": str(home),
        "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
        "SUPERSET_CONFIG_PATH": str(home / "superset_config.py"),
    }

    def run(*arguments: str) -> None:
        result = subprocess.run(
            [programs / "superset", *arguments],
            env=environment,
            cwd=home,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )
        assert result.returncode == 0, result.stdout

    run("db", "upgrade")
    run(
        *("fab", "create-admin", "--username", ADMIN, "--password", PASSWORD),
        *("--firstname", "Ada", "--lastname", "Admin", "--email", "admin@example.com"),
    )
    run("init")
    run("import-dashboards", "--path", str(bundle), "--username", ADMIN)

    port = free_port()
    server = Superset(f"http://127.0.0.1:{port}")
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [programs / "superset", "run", "--port", str(port), "--with-threads"],
            env=environment,
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + SERVER_STARTS_WITHIN
        while True:
            try:
                server.opener.open(f"{server.url}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (home / "server.log").read_text()
                assert time.monotonic() < deadline, (home / "server.log").read_text()
                time.sleep(0.5)
        server.log_in()
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def assert_charts_show_the_release(superset: Superset, releases: Releases) -> None:
    numbers = superset.charts()
    assert set(numbers) == {chart.name for chart in CHARTS}
    with releases.connect() as connection:
        for chart in CHARTS:
            answers = superset.rows(numbers[chart.name])
            assert len(answers) == len(chart.queries)
            for query, answer in zip(chart.queries, answers, strict=True):
                ordered = bool(query["orderby"])
                expected = rows_of_the_release(connection, chart, query)
                assert comparable(answer, ordered) == comparable(expected, ordered), chart.name


@pytest.mark.slow
def test_every_chart_gives_the_values_of_the_marts(superset, releases):
    assert_charts_show_the_release(superset, releases)


@pytest.mark.slow
def test_new_release_shows_without_a_restart(superset, releases):
    chart = superset.charts()["Share of events by status"]

    def shares() -> list[float]:
        (rows,) = superset.rows(chart)
        return sorted(row["event_share"] for row in rows)

    before = shares()
    releases.publish("2")
    try:
        assert shares() == [share / 2 for share in before]
        assert_charts_show_the_release(superset, releases)
    finally:
        releases.publish("1")
    assert shares() == before


@pytest.mark.slow
def test_second_import_restores_and_adds_nothing(superset, bundle):
    before = superset.charts()
    (dashboard,) = superset.get("dashboard/")
    status, answer = superset.call(
        "PUT", f"chart/{before['Key findings']}", {"slice_name": "Renamed"}
    )
    assert status == 200, answer
    assert superset.charts() != before
    superset.import_assets(bundle)
    assert superset.charts() == before
    assert [found["id"] for found in superset.get("dashboard/")] == [dashboard["id"]]
    assert len(superset.get(f"dashboard/{dashboard['id']}/charts")) == len(CHARTS)
    assert len(superset.get("dataset/?q=(page_size:100)")) == len({chart.table for chart in CHARTS})


@pytest.mark.slow
def test_nothing_can_be_written(superset, releases, bundle, tmp_path):
    file = releases.folder / RELEASE_FILE
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
            status, answer = superset.run_sql(statement)
            assert status >= 400, statement
            assert reason in answer["errors"][0]["message"], answer

    status, answer = superset.run_sql(f"select 1 as one from {SCHEMA}.key_findings")
    assert status == 200, answer
    assert_refused(writes, "does not allow for DDL/DML")
    assert_refused(file_accesses, "file system operations are disabled")

    # The connection refuses even where an administrator allows it in Superset.
    (database,) = superset.get("database/")
    status, answer = superset.call("PUT", f"database/{database['id']}", {"allow_dml": True})
    assert status == 200, answer
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
        drawn = page.locator("[data-test-chart-name]").locator("canvas, table")
        deadline = time.monotonic() + DRAWN_WITHIN
        while drawn.count() < len(CHARTS) and time.monotonic() < deadline:
            page.wait_for_timeout(500)
        page.wait_for_timeout(3000)  # the bars grow
        page.screenshot(path=tmp_path / "dashboard.png")

        assert page.locator(".ant-alert-error").all_inner_texts() == []
        unfinished = page.locator("[data-test-chart-name]").locator(".ant-empty, .loading")
        assert unfinished.count() == 0
        names = {
            chart.get_attribute("data-test-chart-name")
            for chart in page.locator("[data-test-chart-name]").all()
        }
        assert names == {chart.name for chart in CHARTS}
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
    with releases.connect() as connection:
        shares = connection.sql(
            f"select event_share, color from {SCHEMA}.compliance_by_status order by event_share"
        ).fetchall()
    pixels = [colors.get(color, 0) for _, color in shares]
    assert pixels == sorted(pixels)
    assert all(pixels)
    sent = set(asked) - set(blocked)
    assert [url for url in sent if not url.startswith((superset.url, "data:", "blob:"))] == []
