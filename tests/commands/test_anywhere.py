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

from ott import copies, releases

ODD_NAME = 'it\'s 100 % #1; [a]* ü "q" {b}'
# dbt takes no quotes in the name of a database, nor a hash.
ODD_DATABASE = "a b%[x]ü{}.duckdb"
RUN_IN_PYTHON = """
import json, os, sys
from dbt.cli.main import dbtRunner

folder = os.getcwd()
for arguments in json.loads(sys.argv[1]):
    result = dbtRunner().invoke(["--no-use-colors", *arguments])
    print(result.success, result.exception)
assert os.getcwd() == folder
"""
SEED = ("seed", "--select", "regions")


def run_in_python(*projects: object, seed: tuple[str, ...] = SEED, cwd: Path):
    """Load a seed of one project after the other in one process."""
    runs = [[*seed, "--project-dir", str(at), "--profiles-dir", str(at)] for at in projects]
    return subprocess.run(
        [sys.executable, "-c", RUN_IN_PYTHON, json.dumps(runs)],
        cwd=cwd,
        env=clean_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def one_line(result: subprocess.CompletedProcess) -> str:
    return " ".join(result.stdout.split())


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def regions(project: Project) -> list[str]:
    """The regions that were loaded, in their order."""
    with project.connect() as connection:
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


def test_a_second_build_called_from_elsewhere_publishes_the_same(
    odd_project, at_odds, elsewhere, built_project
):
    """Relative paths of the environment begin at the project's folder, whatever their names."""
    before = files(elsewhere)
    inside = odd_project.root / ODD_NAME
    inside.mkdir()
    database = f"{ODD_NAME}/ott_build.duckdb"
    shutil.copy(built_project.root / "ott_build.duckdb", odd_project.root / database)
    result = odd_project.build(
        *("--warn-error", *at_odds),
        cwd=elsewhere,
        OTT_DATABASE_PATH=database,
        OTT_RELEASE_PATH=f"{ODD_NAME}/served",
        OTT_TEMP_PATH=f"{ODD_NAME}/spilled",
    )
    assert result.returncode == 0, result.stdout
    assert files(elsewhere) == before
    assert not list(odd_project.root.glob("*.duckdb"))
    assert_same(odd_project.contents(file=database), built_project.contents())
    releases.verify(releases.current_release(inside / "served"))


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "database", "query"])
def test_events_are_those_of_the_project_and_not_of_where_dbt_is_called(
    odd_project, at_odds, elsewhere, kind
):
    """The view that reads them goes on doing so from anywhere."""
    folder = odd_project.root / "data"
    folder.mkdir(exist_ok=True)
    source = f"data/events*.{kind}"
    if kind == "query":
        kind, source = "csv", {"sql": "from read_csv('data/*.csv', all_varchar = true)"}
    with duckdb.connect() as connection:
        connection.read_csv(str(odd_project.events_file), all_varchar=True).limit(7).to_view("rows")
        rows = connection.sql("from rows").fetchall()
        path = folder / f"events.{kind}"
        if kind == "database":
            connection.execute(f"attach {copies.text(str(path))} as platform")
            connection.execute("create table platform.events as from rows")
            source = {"database": "data/events.database", "schema": "main", "table": "events"}
        else:
            form = {"jsonl": "json"}.get(kind, kind)
            connection.execute(f"copy rows to {copies.text(str(path))} (format {form})")
    variables = json.dumps({"events_source": source})
    select = ["--select", "base_compliance_events", "--vars", variables]
    result = odd_project.dbt(
        *("run", *select, *at_odds), cwd=elsewhere, OTT_DATABASE_PATH=ODD_DATABASE
    )
    assert result.returncode == 0, result.stdout
    with duckdb.connect(odd_project.root / ODD_DATABASE, read_only=True) as connection:
        if kind == "database":
            attached = f"{copies.text(str(path))} as ott_events_source (read_only)"
            connection.execute(f"attach {attached}")
        # Where the query's own paths begin, as in a build.
        connection.execute(f"set file_search_path = {copies.text(str(odd_project.root))}")
        columns = "select * exclude (source_file) from staging.base_compliance_events"
        assert connection.sql(columns).fetchall() == rows


def test_a_file_that_is_also_where_dbt_is_called_is_not_read_from_there(
    at_odds, odd_project, elsewhere
):
    variables = json.dumps({"events_source": {"sql": "from 'data/events.csv'"}})
    result = odd_project.build("--vars", variables, *at_odds, cwd=elsewhere)
    assert result.returncode != 0
    assert "names 'data/events.csv', and there is such a file in" in one_line(result)


@pytest.mark.parametrize("way", ["environment", "subfolder", "python"])
def test_every_way_to_call_dbt_finds_the_project(new_project, elsewhere, way):
    project = new_project("ways")
    before = files(elsewhere)
    seed = (*SEED, "--target-path", "of_this_run")
    path = os.path.relpath(project.root, elsewhere)
    if way == "environment":
        result = project.dbt(*seed, cwd=elsewhere, DBT_PROJECT_DIR=path, DBT_PROFILES_DIR=path)
    elif way == "subfolder":
        result = project.dbt(*seed, "--profiles-dir", "..", cwd=project.root / "models")
    else:
        result = run_in_python(path, path, seed=seed, cwd=elsewhere)
        assert result.stdout.count("True None") == 2, result.stdout
    assert result.returncode == 0, result.stdout
    assert len(regions(project)) == 5
    assert (project.root / "of_this_run").exists()
    assert not (project.root / "models" / "logs").exists()
    assert files(elsewhere) == before


def test_a_copied_or_moved_project_loads_its_own_files(own_build, tmp_path):
    """dbt keeps the folder of a seed in `target`, which comes along."""

    def loaded(project: Project) -> tuple[list[str], int]:
        result = project.dbt(*SEED, "raw_compliance_events")
        assert result.returncode == 0, result.stdout
        with project.connect() as connection:
            (events,) = connection.sql("select count(*) from raw.raw_compliance_events").fetchone()
        return regions(project)[5:], events

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
    before = files(other.root)
    for result in (
        other.dbt(*SEED, "--profiles-dir", str(own_build.root)),
        other.dbt(*SEED, PYTHONPATH=str(own_build.root / "scripts")),
        run_in_python(own_build.root, other.root, cwd=tmp_path),
    ):
        assert (
            f"{other.root} was to be built with the scripts of {own_build.root}, into the database"
            " there; nothing was changed."
        ) in one_line(result), result.stdout
        assert "Traceback" not in result.stdout
    assert files(other.root) == before


def test_a_work_database_that_dbt_cannot_name_is_told(own_build):
    result = own_build.dbt(*SEED, OTT_DATABASE_PATH="it's #1.duckdb")
    assert result.returncode != 0
    assert "cannot be called it's #1.duckdb" in one_line(result)
    assert "Traceback" not in result.stdout
    assert not (own_build.root / "it's #1.duckdb").exists()


@pytest.fixture(scope="module")
def outer(new_project, tmp_path_factory) -> Project:
    """A project of somebody else, with a model of its own, that has this one as a package."""
    package = new_project("package").root
    root = tmp_path_factory.mktemp("outer")
    profile = (package / "profiles.yml").read_text().replace("ott_compliance:", "platform:", 1)
    scripts = '["{{ flags.PROFILES_DIR }}/scripts", scripts]'
    assert scripts in profile
    for name, text in {
        "models/of_regions.sql": "select region, violation_rate"
        " from {{ ref('ott_compliance', 'compliance_by_region') }}",
        "models/broken.sql": "select no_column from {{ ref('of_regions') }}",
        "packages.yml": json.dumps({"packages": [{"local": str(package)}]}),
        "dbt_project.yml": "{name: platform_analytics, version: '1.0.0', profile: platform}",
        "profiles.yml": profile.replace(scripts, "[dbt_packages/ott_compliance/scripts]"),
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return Project(root)


def test_the_project_is_a_package_of_another(outer, built_project):
    """What it builds is in the other project's folder, and its own steps decide on its release."""
    result = outer.dbt("deps")
    assert result.returncode == 0, result.stdout
    result = outer.build("--warn-error", OTT_CPU_THREADS="1")
    assert "no_column" in result.stdout and " ERROR=1 SKIP=0 " in result.stdout, result.stdout
    assert "Published" in result.stdout, "a model of the other project has no say"
    checksums, expected = (
        {mart: measured["checksum"] for mart, measured in manifest["marts"].items()}
        for manifest in (
            releases.verify(releases.current_release(project.releases))
            for project in (outer, built_project)
        )
    )
    assert checksums == expected, "to the last bit, on one core as on several"
    with outer.connect() as connection:
        assert connection.sql("select count(*) from main.of_regions").fetchone() == (5,)

    # Events of its own; their first rows are judged by the seeds of the package.
    shutil.copy(built_project.events_file, outer.root / "events.csv")
    settings = json.dumps({"events_source": "events.csv"})
    result = outer.dbt("run", "--select", "+int_source_days", "--vars", settings)
    assert result.returncode == 0, result.stdout
