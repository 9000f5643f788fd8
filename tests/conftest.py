"""Builds of the project in temporary places, shared by the tests."""

import fcntl
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import pytest
import yaml
from dbt.flags import set_flags
from forked_dbt import run_dbt

from ott import copies, plugin
from ott.build import WITHOUT_UNIT_TESTS

PROJECT = Path(__file__).parent.parent
# Unit tests check code, and `built_project` has seen to that.
BUILD = ("build", *WITHOUT_UNIT_TESTS)
DBT = Path(sys.executable).with_name("dbt")
AS_TEXT = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
# The files that take longest, so that no process is left alone with one of them at the end; the
# second needs no build of the others, for which it would wait.
LONGEST = ("faults", "incremental", "marts", "anywhere", "exports", "build", "releases")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


OF_ONE_BUILD = [
    f"int_{name}" for name in ("source_files", "source_file_days", "changed_days", "ids_to_compare")
]


@dataclass
class Project:
    """A copy of the project; `parsed` is where all tests share what dbt has parsed of it."""

    root: Path
    parsed: Path | None = None
    # The variables with which dbt has parsed it last.
    parsed_with: str | None = None

    @property
    def releases(self) -> Path:
        return self.root / "release"

    @property
    def events_file(self) -> Path:
        return self.root / "seeds" / "raw_compliance_events.csv"

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open the built database as a reader would."""
        return duckdb.connect(self.root / "ott_build.duckdb", read_only=True)

    def contents(self, *schemas: str, file: str = "ott_build.duckdb") -> dict[str, list[tuple]]:
        """All rows of the tables of some schemas, or of all but the raw ones."""
        with duckdb.connect(self.root / file, read_only=True) as connection:
            return rows_of(connection, *(schemas or ("staging", "intermediate", "marts")))

    def dbt(self, *arguments: str, prefix=(), cwd=None, is_parsed=False, **environment: str):
        """Run dbt in the copy or another folder; stdout of the result holds both outputs as text.

        With `is_parsed`, as if parsed with these variables: for what ends before the first step.
        """
        folder = cwd or self.root
        arguments = ("--no-use-colors", *arguments)
        variables = {**clean_environment(), **environment}
        own = all(name.startswith(("OTT_", "DBT_")) for name in environment)
        # Other modules than those that the forks have imported need a process of their own.
        if prefix or not own or "PYTHONPATH" in variables:
            command = [*prefix, DBT, *arguments]
            return subprocess.run(command, cwd=folder, env=variables, timeout=600, **AS_TEXT)
        if self.parsed is None:
            return run_dbt(arguments, folder, variables, is_parsed)
        # dbt parses all anew for other variables than the last time; changed files it finds itself.
        words = [word for flag, word in pairwise(arguments) if flag in ("--vars", "--target")]
        key = sha256(repr([] if is_parsed else words).encode()).hexdigest()
        kept = self.parsed / f"{key}.msgpack"
        found = self.root / "target" / "partial_parse.msgpack"
        if kept.exists() and self.parsed_with != key:
            found.parent.mkdir(exist_ok=True)
            shutil.copy(kept, found)
        result = run_dbt(arguments, folder, variables, is_parsed)
        if is_parsed:
            # It stands there as if it had been parsed with other variables.
            found.unlink(missing_ok=True)
            self.parsed_with = None
        elif found.exists() and "--target-path" not in arguments:
            self.parsed_with = key
            if not kept.exists():
                shutil.copy(found, kept.with_suffix(f".{os.getpid()}")).rename(kept)
        return result

    def build(self, *arguments: str, **more) -> subprocess.CompletedProcess:
        """Build as `make build` does."""
        return self.dbt(*BUILD, *arguments, **more)

    @contextmanager
    def start_build(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen]:
        """Start what `make build` runs in a process group of its own, which is gone at the end.

        Its output goes into the smallest pipe there is: it waits for its reader, however slow that
        is, and so is still under way after any line that many others follow.
        """
        with subprocess.Popen(
            [sys.executable, self.root / "scripts" / "ott", "build", *arguments],
            env={**clean_environment(), **environment},
            start_new_session=True,
            pipesize=os.sysconf("SC_PAGE_SIZE"),
            **AS_TEXT,
        ) as process:
            try:
                yield process
            finally:
                kill(process)

    def generate_events(self, *arguments: str) -> None:
        """Replace the seed by events of the generator."""
        assert run_ott("generate", *arguments, root=self.root).returncode == 0


def run_ott(
    *arguments: object, root: Path = PROJECT, **environment: str
) -> subprocess.CompletedProcess:
    """Run the command of a project in a process of its own."""
    return subprocess.run(
        [sys.executable, root / "scripts" / "ott", *map(str, arguments)],
        env={**clean_environment(), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def kill(process: subprocess.Popen) -> bool:
    """Kill a process group, and return whether its first process was still running."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def clean_environment() -> dict[str, str]:
    """Environment without the settings of the caller's own database."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OTT_")}


def new_plugin(database: Path) -> plugin.Plugin:
    """The plugin as dbt makes it for a work database."""
    set_flags(SimpleNamespace(PROJECT_DIR=str(PROJECT)))
    return plugin.Plugin("ott.plugin", {"database": str(database)})


def copy_to_damage(project: Project, folder: Path) -> Path:
    """Copy the work database into a folder, with tables in place of the views that have checks."""
    copy = Path(shutil.copy(project.root / "ott_build.duckdb", folder))
    with duckdb.connect(copy) as connection:
        views = connection.execute(
            "select schema_name, view_name from duckdb_views() where schema_name = 'marts'"
            " or view_name = 'unusual_days' or ends_with(view_name, '_sentences')"
        ).fetchall()
        for schema, view in views:
            connection.execute(f"create table {schema}.copied as from {schema}.{view}")
            connection.execute(f"drop view {schema}.{view}")
            connection.execute(f"alter table {schema}.copied rename to {view}")
    return copy


def marts_of(connection: duckdb.DuckDBPyConnection) -> copies.Marts:
    """The marts in a work database, as the macros give them to who publishes."""
    marts = {mart: {} for mart in copies.list_marts(connection) if not mart.startswith("int_")}
    if connection.execute(
        "from duckdb_tables() where table_name = 'int_checked_events'"
    ).fetchone():
        models = yaml.safe_load((PROJECT / "models/marts/events/_events__models.yml").read_text())
        (fact,) = [one for one in models["models"] if one["name"] == "fct_compliance_events"]
        marts["fct_compliance_events"] = fact["config"]["meta"]["kept_of"]
    return marts


def rows_of(connection: duckdb.DuckDBPyConnection, *schemas: str) -> dict[str, list[tuple]]:
    """All rows of the tables of some schemas, in a fixed order.

    Not of those that say what a build has read and compared, which one build tells and not another.
    """
    names = connection.execute(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_catalog = current_database() and list_contains(?, table_schema)"
        " and not contains(table_name, '__dbt_') and not list_contains(?, table_name)",
        [list(schemas), OF_ONE_BUILD],
    ).fetchall()
    return {name: connection.execute(f"from {name} order by all").fetchall() for (name,) in names}


def assert_same(
    actual: dict[str, list[tuple]], expected: dict[str, list[tuple]], tolerance: float = 1e-9
) -> None:
    """Equal tables by name: all exactly but floats, which may differ by the relative tolerance.

    A sum of floats depends in its last digits on the order of the rows, which no engine promises.
    """
    assert actual.keys() == expected.keys()
    for name, rows in expected.items():
        assert len(actual[name]) == len(rows), name
        for row, wanted in zip(actual[name], rows, strict=True):
            for value, other in zip(row, wanted, strict=True):
                if isinstance(value, float) and isinstance(other, float):
                    other = pytest.approx(other, rel=tolerance, abs=1e-12, nan_ok=True)
                assert value == other, (name, row, wanted)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder of all processes that run these tests."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Let one process fill a folder, and the others wait for it."""
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def copy_project(root: Path, parsed: Path | None = None) -> Project:
    """Copy what belongs to the project and nothing that was made of it."""
    for folder in ("models", "seeds", "macros", "analyses", "tests", "scripts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / folder, root / folder, ignore=ignored)
    for file in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(PROJECT / file, root / file)
    return Project(root, parsed)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory, shared_folder) -> Callable[[str], Project]:
    """Return a function that makes a fresh copy, of which dbt parses no more than what changes."""

    def parse(folder: Path) -> None:
        result = copy_project(folder / "project", folder).dbt("--warn-error", "parse")
        assert result.returncode == 0, result.stdout

    parsed = make_once(shared_folder / "parsed", parse)
    return lambda name: copy_project(tmp_path_factory.mktemp(name), parsed)


@pytest.fixture(scope="session")
def built_project(shared_folder) -> Iterator[Project]:
    """A copy with the committed seed, built whole, warnings being errors.

    All tests share it, so none may change it; `own_build` is for those that run commands.
    """

    def build(folder: Path) -> None:
        result = copy_project(folder).dbt("--warn-error", "build")
        assert result.returncode == 0, result.stdout

    root = make_once(shared_folder / "seed", build)
    before = state_of_files(root)
    yield Project(root)
    assert state_of_files(root) == before, "a test has changed the build that all share"


@pytest.fixture(scope="session")
def compiled_marts(shared_folder):
    """All models as dbt compiled them, to run over one data set after another."""
    from ott.lab import calibrate

    def compile_marts(folder: Path) -> None:
        copy_project(folder)
        marts = [file.stem for file in (folder / "models" / "marts").rglob("*.sql")]
        compiled = calibrate.compile_project(folder, folder, marts)
        (folder / "compiled.pickle").write_bytes(pickle.dumps(compiled))

    folder = make_once(shared_folder / "compiled", compile_marts)
    return pickle.loads((folder / "compiled.pickle").read_bytes())


def state_of_files(folder: Path) -> dict[Path, int]:
    """Time of every file, but for what Python keeps of its own."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {file: file.stat().st_mtime_ns for file in files if file.parent.name != "__pycache__"}


@pytest.fixture
def own_build(built_project, tmp_path) -> Project:
    """A copy of the seed build, with all that dbt wrote, for a test to run commands in."""
    return Project(shutil.copytree(built_project.root, tmp_path / "own_build", symlinks=True))


@pytest.fixture(scope="module")
def copied_build(built_project, new_project) -> Project:
    """A copy of the seed build with its release, for the builds of a module that may go wrong."""
    project = new_project("copied")
    shutil.copy(built_project.root / "ott_build.duckdb", project.root)
    shutil.copytree(built_project.releases, project.releases, symlinks=True)
    return project


@pytest.fixture(scope="session")
def release_file(built_project) -> Path:
    """The published database of the seed build, under the path that clients use."""
    return built_project.releases / "current" / "ott_compliance.duckdb"


@pytest.fixture
def folder(built_project, tmp_path) -> Path:
    """A folder with the release of the seed build."""
    return shutil.copytree(built_project.releases, tmp_path / "release", symlinks=True)


@pytest.fixture
def work(built_project, tmp_path) -> Path:
    """A copy of the work database of the seed build, which can be damaged."""
    return copy_to_damage(built_project, tmp_path)


@pytest.fixture(scope="session")
def marts(built_project) -> Callable[[str], pd.DataFrame]:
    """A function that reads a public table of the seed build as a data frame."""
    return lambda name: built_project.connect().sql(f"from marts.{name}").df()


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory) -> Path:
    """Where other programs go; OTT_TEST_CLIENTS names a folder that stays for the next run."""
    if "OTT_TEST_CLIENTS" in os.environ:
        return Path(os.environ["OTT_TEST_CLIENTS"])
    return tmp_path_factory.mktemp("clients")


def install(folder: Path, command: Callable[[Path], list], probe: list) -> Path:
    """Run a command that fills a folder, unless it is there; skip without network.

    The probe, which asks the registry for anything, tells that from what cannot be installed.
    """
    if folder.exists():
        return folder
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    result = subprocess.run(command(unfinished), capture_output=True, text=True, timeout=600)
    if result.returncode:
        shutil.rmtree(unfinished)
        if subprocess.run(probe, capture_output=True, timeout=600).returncode:
            pytest.skip(f"no network: {Path(probe[0]).name} cannot reach its registry")
        pytest.fail(f"{folder.name} cannot be installed: {result.stderr}")
    unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def pip_install(client_folder) -> Callable[..., Path]:
    """Return a function that installs Python packages in a folder of their own."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]

    def run(*packages: str) -> Path:
        return install(
            client_folder / f"python-{'-'.join(packages)}",
            lambda folder: [*pip, "install", "--target", folder, *packages],
            probe=[*pip, "index", "versions", "duckdb"],
        )

    return run
