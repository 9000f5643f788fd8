"""The build does the same wherever its folder lies, and wherever dbt is called from."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from conftest import Project, assert_same, clean_environment

from ott import releases

ODD_NAME = 'it\'s 100 % #1; [a]* ü "q" {b}'
RUN_IN_PYTHON = """
import json, os, sys
from dbt.cli.main import dbtRunner

folder = os.getcwd()
for arguments in json.loads(sys.argv[1]):
    result = dbtRunner().invoke(["--no-use-colors", *arguments])
    print(result.success, result.exception)
assert os.getcwd() == folder
"""


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def regions(database: Path) -> list[str]:
    """The regions that were loaded, in their order."""
    with duckdb.connect(database, read_only=True) as connection:
        rows = connection.sql("select region from raw.regions order by display_order").fetchall()
    return [region for (region,) in rows]


def add_region(project: Project, name: str) -> None:
    with (project.root / "seeds" / "regions.csv").open("a", encoding="utf-8") as file:
        file.write(f"{name},9,{name}\n")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """A folder to call dbt in, with a file of events that is none of the project's."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "data").mkdir()
    (folder / "data" / "events.csv").write_text("event_id\n1\n")
    return folder


@pytest.fixture(scope="module")
def odd_project(new_project) -> Project:
    """A project in a folder whose name means something to SQL, addresses and patterns."""
    return new_project(ODD_NAME)


@pytest.fixture(scope="module")
def at_odds(odd_project, elsewhere) -> list[str]:
    """Options that name the project from elsewhere, by a relative path."""
    path = os.path.relpath(odd_project.root, elsewhere)
    return ["--project-dir", path, "--profiles-dir", path]


def test_a_build_called_from_elsewhere_publishes_the_same(
    odd_project, at_odds, elsewhere, built_project
):
    """Relative paths of the environment begin at the project's folder, whatever their names."""
    before = files(elsewhere)
    (odd_project.root / ODD_NAME).mkdir()
    result = odd_project.build(
        *at_odds,
        cwd=elsewhere,
        OTT_DATABASE_PATH=f"{ODD_NAME}/a b%[x]ü{{}}.duckdb",
        OTT_RELEASE_PATH=f"{ODD_NAME}/served",
        OTT_TEMP_PATH=f"{ODD_NAME}/spilled",
    )
    assert result.returncode == 0, result.stdout
    assert files(elsewhere) == before
    assert not list(odd_project.root.glob("*.duckdb"))
    assert (odd_project.root / ODD_NAME / "a b%[x]ü{}.duckdb").exists()
    release = releases.current_release(odd_project.root / ODD_NAME / "served")
    releases.verify(release)
    tables = []
    for folder in (release, releases.current_release(built_project.releases)):
        with duckdb.connect(folder / releases.DATABASE, read_only=True) as connection:
            tables.append(
                {
                    mart: connection.sql(f"from marts.{mart} order by all").fetchall()
                    for mart in releases.list_marts(connection)
                }
            )
    assert_same(*tables)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "database"])
def test_events_are_those_of_the_project_and_not_of_where_dbt_is_called(
    odd_project, at_odds, elsewhere, kind
):
    """The view that reads them goes on doing so from anywhere."""
    folder = odd_project.root / "data"
    folder.mkdir(exist_ok=True)
    source = f"data/events*.{kind}"
    with duckdb.connect() as connection:
        connection.read_csv(str(odd_project.events_file), all_varchar=True).limit(7).to_view("rows")
        path = folder / f"events.{kind}"
        if kind == "database":
            connection.execute(f"attach {releases.text(str(path))} as platform")
            connection.execute("create table platform.events as from rows")
            source = {"database": "data/events.database", "schema": "main", "table": "events"}
        else:
            form = {"jsonl": "json"}.get(kind, kind)
            connection.execute(f"copy rows to {releases.text(str(path))} (format {form})")
    variables = ["--vars", json.dumps({"events_source": source})]
    result = odd_project.dbt(
        "run", "--select", "base_compliance_events", *at_odds, *variables, cwd=elsewhere
    )
    assert result.returncode == 0, result.stdout
    with odd_project.connect() as connection:
        if kind == "database":
            connection.execute(
                f"attach {releases.text(str(path))} as ott_events_source (read_only)"
            )
        found = connection.sql("select count(*) from staging.base_compliance_events").fetchall()
    assert found == [(7,)]


@pytest.mark.parametrize("way", ["environment", "subfolder", "python"])
def test_every_way_to_call_dbt_finds_the_project(new_project, elsewhere, way):
    project = new_project("ways")
    before = files(elsewhere)
    seed = ["seed", "--select", "regions", "--target-path", "of_this_run"]
    path = os.path.relpath(project.root, elsewhere)
    if way == "environment":
        result = project.dbt(*seed, cwd=elsewhere, DBT_PROJECT_DIR=path, DBT_PROFILES_DIR=path)
    elif way == "subfolder":
        result = project.dbt(*seed, "--profiles-dir", "..", cwd=project.root / "models")
    else:
        runs = [[*seed, "--project-dir", path, "--profiles-dir", path]] * 2
        result = subprocess.run(
            [sys.executable, "-c", RUN_IN_PYTHON, json.dumps(runs)],
            cwd=elsewhere,
            env=clean_environment(),
            capture_output=True,
            text=True,
        )
        assert result.stdout.count("True None") == 2, result.stdout
    assert result.returncode == 0, result.stdout
    assert len(regions(project.root / "ott_build.duckdb")) == 5
    assert (project.root / "of_this_run").exists()
    assert not (project.root / "models" / "logs").exists()
    assert files(elsewhere) == before


def test_a_copied_or_moved_project_loads_its_own_files(own_build, tmp_path):
    """dbt keeps the folder of a seed in `target`, which comes along."""

    def loaded(project: Project) -> tuple[list[str], int]:
        result = project.dbt("seed", "--select", "regions", "raw_compliance_events")
        assert result.returncode == 0, result.stdout
        with project.connect() as connection:
            (events,) = connection.sql("select count(*) from raw.raw_compliance_events").fetchone()
        return regions(project.root / "ott_build.duckdb")[5:], events

    add_region(own_build, "MARS")
    own_build.events_file.write_text("".join(own_build.events_file.open().readlines()[:3]))
    assert loaded(own_build) == (["MARS"], 2)
    moved = Project(own_build.root.rename(tmp_path / "moved"))
    assert loaded(moved) == (["MARS"], 2)
    add_region(moved, "VENUS")
    link = Project(tmp_path / "link")
    link.root.symlink_to(moved.root)
    assert loaded(link) == (["MARS", "VENUS"], 2)


def test_the_scripts_of_another_project_are_refused(own_build, tmp_path):
    """As in a folder of two projects, by PYTHONPATH, or one after the other in one process."""
    other = Project(tmp_path / "other")
    shutil.copytree(own_build.root, other.root, symlinks=True)
    (other.root / "ott_build.duckdb").unlink()
    sentence = (
        f"{other.root} was to be built with the scripts of {own_build.root}, into the database"
        " there; nothing was changed."
    )
    before = files(other.root)
    seed = ["seed", "--select", "regions"]
    profiles = ["--profiles-dir", str(own_build.root)]
    results = [
        other.dbt(*seed, *profiles),
        other.dbt(*seed, PYTHONPATH=str(own_build.root / "scripts")),
        subprocess.run(
            [sys.executable, "-c", RUN_IN_PYTHON, json.dumps([
                [*seed, "--project-dir", str(project.root), "--profiles-dir", str(project.root)]
                for project in (own_build, other)
            ])],
            cwd=tmp_path,
            env=clean_environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ),
    ]  # fmt: skip
    for result in results:
        assert sentence in " ".join(result.stdout.split()), result.stdout
        assert "Traceback" not in result.stdout
    assert files(other.root) == before


def test_a_work_database_that_dbt_cannot_name_is_told(own_build):
    result = own_build.dbt("seed", "--select", "regions", OTT_DATABASE_PATH="it's #1.duckdb")
    assert result.returncode != 0
    assert "cannot be called it's #1.duckdb" in " ".join(result.stdout.split())
    assert "Traceback" not in result.stdout
    assert not (own_build.root / "it's #1.duckdb").exists()


PACKAGES = """
packages:
  - local: {package}
"""
HARNESS = """
name: platform_analytics
version: "1.0.0"
profile: platform
"""


@pytest.fixture(scope="module")
def outer(new_project, tmp_path_factory) -> Project:
    """A project of somebody else, with a model of its own, that has this one as a package."""
    package = new_project("package")
    root = tmp_path_factory.mktemp("outer")
    (root / "models").mkdir()
    (root / "models" / "of_regions.sql").write_text(
        "select region, violation_rate from {{ ref('ott_compliance', 'compliance_by_region') }}"
    )
    (root / "packages.yml").write_text(PACKAGES.format(package=json.dumps(str(package.root))))
    (root / "dbt_project.yml").write_text(HARNESS)
    profile = (package.root / "profiles.yml").read_text().replace("ott_compliance:", "platform:", 1)
    scripts = '["{{ flags.PROFILES_DIR }}/scripts", scripts]'
    assert scripts in profile
    profile = profile.replace(scripts, "[dbt_packages/ott_compliance/scripts]")
    (root / "profiles.yml").write_text(profile)
    return Project(root)


def test_the_project_is_a_package_of_another(outer, built_project):
    """What it builds is in the other project's folder, and its own steps decide on its release."""
    result = outer.dbt("deps")
    assert result.returncode == 0, result.stdout
    result = outer.build("--warn-error")
    assert result.returncode == 0, result.stdout
    assert "Published" in result.stdout
    release = releases.current_release(outer.releases)
    assert releases.verify(release)["marts"].keys() == (
        releases.verify(releases.current_release(built_project.releases))["marts"].keys()
    )
    with outer.connect() as connection:
        assert connection.sql("select count(*) from main.of_regions").fetchone() == (5,)

    (outer.root / "models" / "broken.sql").write_text("select no_column from marts.dim_users")
    result = outer.build()
    assert result.returncode != 0 and "no_column" in result.stdout
    assert "Published" in result.stdout, "a model of the other project has no say"
