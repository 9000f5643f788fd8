"""The build as a user runs it: repeatable, anywhere, documented, without a network."""

import json
import shutil
import subprocess

import duckdb
import pytest
from conftest import BUILD, assert_same

from ott import releases
from ott.registry import OPTIONAL


@pytest.fixture(scope="module")
def manifest(built_project) -> dict:
    """What dbt knows of the project."""
    return json.loads((built_project.root / "target" / "manifest.json").read_text())


@pytest.fixture(scope="module")
def documented(new_project):
    """A project with its documentation, which needs no build before."""
    project = new_project("documented")
    result = project.dbt("docs", "generate", "--static")
    assert result.returncode == 0, result.stdout
    return project


def test_the_environment_bounds_what_duckdb_uses(new_project):
    project = new_project("bounded")
    settings = {
        "threads": ("OTT_CPU_THREADS", "1", "1"),
        "memory_limit": ("OTT_MEMORY_LIMIT", "512MiB", "512.0 MiB"),
        "temp_directory": ("OTT_TEMP_PATH", "elsewhere", f"{project.root}/elsewhere"),
        "max_temp_directory_size": ("OTT_TEMP_LIMIT", "3GiB", "3.0 GiB"),
    }
    columns = ", ".join(f"current_setting('{name}') as {name}" for name in settings)
    result = project.dbt(
        "show", "--quiet", "--inline", f"select {columns}", "--output", "json",
        **{variable: value for variable, value, _ in settings.values()},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    (found,) = json.loads(result.stdout)["show"]
    assert {name: str(value) for name, value in found.items()} == {
        name: shown for name, (_, _, shown) in settings.items()
    }


def test_network_time_zone_threads_and_locale_change_nothing(built_project, new_project, tmp_path):
    """Python and DuckDB would write 1,5 for 1.5 if they followed a German locale."""
    missing = []

    def is_possible(*command: str, what: str) -> bool:
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            missing.append(what)
        return not missing

    environment = {"TZ": "Asia/Tokyo", "OTT_THREADS": "4"}
    locale = tmp_path / "de_DE.UTF-8"
    command = ("localedef", "-i", "de_DE", "-f", "UTF-8", str(locale))
    if is_possible(*command, what="the German locale (Debian: package locales)"):
        environment |= {"LOCPATH": str(tmp_path), "LANG": locale.name, "LC_ALL": locale.name}
    cut_off = ("unshare", "--net")
    is_cut_off = is_possible(*cut_off, "true", what="a life without network (unshare --net)")
    project = new_project("elsewhere")
    result = project.build(prefix=cut_off if is_cut_off else ("env",), **environment)
    assert result.returncode == 0, result.stdout
    assert_same(project.contents(), built_project.contents())
    if missing:
        pytest.skip(f"tested without what this machine does not have: {', '.join(missing)}")


# In seeds and events, members may be written in capital or small letters.
OWN_MEMBERS = {
    "regions": "MäRS,6,Mars",
    "regulations": "MDPA,6,Martian Data Protection Act,Mars",
    "event_types": "landing,7,The user lands",
}


def test_every_variable_can_be_changed(built_project, new_project):
    """On the tables of an earlier build, with members of one's own, and values that are missing.

    Tests that hang on the defaults would fail for everybody who sets a variable.
    """
    project = new_project("variables")
    shutil.copy(built_project.root / "ott_build.duckdb", project.root)
    for seed, line in OWN_MEMBERS.items():
        with (project.root / "seeds" / f"{seed}.csv").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    (project.root / "data").mkdir()
    duckdb.sql(
        "select * replace (if(event_id % 5 = 0, 'Märs', region) as region,"
        " if(event_id % 5 = 0, 'mdpa', regulation) as regulation,"
        " if(event_id % 5 = 0, 'Landing', event_type) as event_type)"
        " rename (timestamp as event_time)"
        f" from read_csv('{project.events_file}')"
    ).write_parquet(f"{project.root}/data/events.parquet")
    holes = {
        column: {"sql": f"if(event_id % {number} = 0, null, {column})"}
        for number, column in enumerate(OPTIONAL, 11)
        if column != "user_age"
    }
    changed = {
        "events_source": "data/*.parquet",
        "events_columns": {"timestamp": "event_time", **holes},
        "events_format": "parquet",
        "events_preset": "none",
        "find_changed_files_by": "content",
        "keep_unchanged_tables": False,
        "events_dimensions": {
            "device": {"sql": "if(event_id % 3 > 0, 'tv', null)"},
            "many": {"sql": "'m' || user_age"},
        },
        "maximum_members_of_further_dimensions": 2,
        "event_id_type": "varchar",
        "user_id_type": "varchar",
        "required_columns": ["user_age"],
        "events_identity": ["event_id", "user_id"],
        "repeated_events": {"keep": "latest", "by": "event_time"},
        "events_time_zone": "Asia/Tokyo",
        "maximum_quarantined_share_of_member": 0.9,
        "maximum_hours_since_last_event": 24,
        "earliest_timestamp": "2025-12-31 00:00:00",
        "latest_timestamp": "now",
        "minimum_user_age": 13,
        "maximum_user_age": 74,
        "age_band_starts": [18, 65],
        "maximum_session_duration_minutes": 500,
        "maximum_concurrent_streams": 4,
        "maximum_quarantined_share": 0.5,
        "medium_risk_above": 0.1,
        "high_risk_above": 0.5,
        "session_duration_bins": 10,
        "user_age_bins": 7,
        "user_violation_rate_bins": 4,
        "confidence_level": 0.99,
        "alpha": 0.01,
        "looks": "single",
        "minimum_effect_percentage_points": 2,
        "minimum_expected_violations": 10,
        "minimum_effective_users": 3,
        "power": 0.9,
        "top_risk_users": 12,
        "publish_row_level_marts": False,
        "compact_release": True,
    }
    assert sorted(changed) == sorted(read_vars(project))
    result = project.build("--vars", json.dumps(changed))
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        connection.execute("use marts")

        def rows(query: str) -> list[tuple]:
            return connection.sql(query).fetchall()

        assert {*rows("select distinct risk_tier from dim_users")} >= {("low",), ("medium",)}
        assert rows("select count(*) from user_age_histogram") == [(7,)]
        fact = "fct_compliance_events"
        types = f"select distinct typeof(event_id), typeof(user_id) from {fact}"
        assert rows(types) == [("VARCHAR", "VARCHAR")]
        [(events,)] = rows(f"select count(*) from {fact}")
        [(with_device,)] = rows("select count(*) from event_attributes where member = 'tv'")
        assert rows("select count(*) from event_attributes") == [(2 * events,)]
        members = (
            "select member, events from compliance_by_member where dimension = '{}'"
            " order by display_order"
        )
        assert rows(members.format("device")) == [
            ("tv", with_device),
            ("unknown", events - with_device),
        ]
        many = rows(members.format("many"))
        assert [member for member, _ in many][2:] == ["other"]
        assert sum(number for _, number in many) == events
        unknown = "from compliance_by_member where member = 'unknown'"
        dimensions = {name for (name,) in rows(f"select distinct dimension {unknown}")}
        assert dimensions > {"region", "risk_tier", "concurrent_streams", "device"}
        assert rows(f"select count(*) {unknown} and verdict is not null") == [(0,)]
        own = "select count(*) from compliance_by_member where events > 0 and member in"
        assert rows(f"{own} ('MäRS', 'MDPA', 'landing')") == [(3,)]
    manifest = releases.verify(releases.current_release(project.releases))
    assert sorted(manifest["dbt"]["vars"]) == sorted(changed)
    assert manifest["dbt"]["command"] == f"dbt --no-use-colors {' '.join(BUILD)} --vars ..."
    assert "event_time" not in json.dumps(manifest)
    assert not manifest["marts"].keys() & {
        "fct_compliance_events",
        "quarantined_compliance_events",
        "dim_users",
        "top_risk_users",
    }
    assert len(manifest["marts"]) > 20


def test_no_usage_statistics(built_project, manifest):
    assert not (built_project.root / ".user.yml").exists()
    assert manifest["metadata"]["send_anonymous_usage_stats"] is False


def test_every_relation_and_column_is_described(built_project, manifest):
    described = {
        (node["schema"], node["name"], column["name"])
        for node in manifest["nodes"].values()
        if node["resource_type"] in ("model", "seed") and node["description"]
        for column in node["columns"].values()
        if column["description"]
    }
    with built_project.connect() as connection:
        columns = connection.sql(
            "select table_schema, table_name, column_name from information_schema.columns"
            # What the project notes for itself.
            " where table_name <> 'built_from'"
        ).fetchall()
    assert {*columns} == described
    assert {schema for schema, *_ in columns} == {"raw", "staging", "intermediate", "marts"}


def test_every_mart_that_tells_events_or_users_apart_can_be_left_out(manifest):
    marts = [node for node in manifest["nodes"].values() if node.get("access") == "public"]
    telling = {m["name"] for m in marts if {"user_id", "event_id"} & m["columns"].keys()}
    assert {m["name"] for m in marts if "row_level" in m["tags"]} == telling
    assert "top_risk_users" in telling


def test_every_test_macro_seed_and_analysis_is_described(manifest):
    nodes = [
        *(n for n in manifest["nodes"].values() if n["resource_type"] != "operation"),
        *manifest["unit_tests"].values(),
        *(m for m in manifest["macros"].values() if m["package_name"] == "ott_compliance"),
    ]
    assert [node["unique_id"] for node in nodes if not node["description"]] == []


def test_docs_site_has_an_overview(documented, manifest):
    page = (documented.root / "target" / "static_index.html").read_text()
    assert "one row an event" in page
    overview = manifest["docs"]["doc.ott_compliance.__overview__"]["block_contents"]
    marts = [n["name"] for n in manifest["nodes"].values() if n.get("access") == "public"]
    assert [name for name in [*marts, *read_vars(documented)] if name not in overview] == []


def read_vars(project) -> list[str]:
    """Names of the project's variables."""
    lines = (project.root / "dbt_project.yml").read_text().split("\nvars:\n")[1].splitlines()
    return [line.split(":")[0].strip() for line in lines if line.strip() and "#" not in line]


def test_analyses_answer_the_notebook(documented, built_project):
    queries = sorted((documented.root / "target/compiled/ott_compliance/analyses").glob("*.sql"))
    assert {path.name[:2] for path in queries} == {"02", "03", "04", "05", "06", "07", "08", "09"}
    with built_project.connect() as connection:
        answers = {path.stem: connection.sql(path.read_text()).fetchall() for path in queries}
    assert all(answers.values())
    top_users = answers["07_top_users_by_violation_rate"]
    assert [rate for *_, rate, _ in top_users] == [1.0] * 5
    assert [user for user, *_ in top_users] == sorted(user for user, *_ in top_users)
    assert [row[0] for row in answers["03_regions"] if row[-2]] == ["AFRICA"]
    assert [row[0] for row in answers["06_hours"] if row[-1]] == [22]


def test_the_locked_duckdb_opens_a_database_that_a_newer_one_wrote(built_project):
    with built_project.connect() as connection:
        (tags,) = connection.sql(
            "select tags from duckdb_databases() where database_name = 'ott_build'"
        ).fetchone()
    assert tags["storage_version"].startswith("v1.0.0")
