"""Builds of the project in temporary places, shared by the tests."""

import fcntl
import math
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
from dbt.flags import set_flags
from forked_dbt import run_dbt

from ott import plugin
from ott.build import WITHOUT_UNIT_TESTS

PROJECT = Path(__file__).parent.parent
SOURCES = ("models", "seeds", "macros", "analyses", "tests", "scripts")
ROOT_FILES = ("dbt_project.yml", "profiles.yml")
# Unit tests check code, and `built_project` has seen to that.
BUILD = ("build", *WITHOUT_UNIT_TESTS)
DBT = Path(sys.executable).with_name("dbt")


# The files that take longest, so that no process is left alone with one of them at the end; the
# second needs no build of the others, for which it would wait.
LONGEST = ("faults", "incremental", "events_source", "anywhere", "releases", "marts", "postgres")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@dataclass
class BuiltProject:
    """A copy of the project in a folder of its own, to be read."""

    root: Path

    @property
    def releases(self) -> Path:
        """The folder of the releases."""
        return self.root / "release"

    @property
    def events_file(self) -> Path:
        """The seed that holds the raw events."""
        return self.root / "seeds" / "raw_compliance_events.csv"

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Open the built database as a reader would."""
        return duckdb.connect(self.root / "ott_build.duckdb", read_only=True)


@dataclass
class Project(BuiltProject):
    """A copy of the project that can be built and changed.

    `parsed` is a folder that all tests share, with what dbt has parsed, by its variables.
    """

    parsed: Path | None = None

    def dbt(
        self,
        *arguments: str,
        prefix: tuple[str, ...] = (),
        cwd: Path | None = None,
        is_parsed: bool = False,
        **environment: str,
    ) -> subprocess.CompletedProcess:
        """Run dbt in the copy or another folder; stdout holds both outputs as text.

        With `is_parsed`, as if parsed with these variables: for what ends before the first step.
        """
        arguments = ("--no-use-colors", *arguments)
        variables = {**clean_environment(), **environment}
        own = all(name.startswith(("OTT_", "DBT_")) for name in environment)
        # Other modules than those that the forks have imported need a process of their own.
        if own and not prefix and "PYTHONPATH" not in variables:
            with self.parsed_before(arguments, is_parsed):
                return run_dbt(arguments, cwd or self.root, variables, is_parsed)
        return subprocess.run(
            [*prefix, DBT, *arguments],
            cwd=cwd or self.root,
            env=variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )

    @contextmanager
    def parsed_before(self, arguments: tuple[str, ...], is_parsed: bool) -> Iterator[None]:
        """Let dbt find what any test has parsed with the same variables, and keep it for others.

        dbt parses all anew for other variables than the last time; changed files it finds itself.
        """
        if self.parsed is None:
            yield
            return
        words = [word for flag, word in pairwise(arguments) if flag in ("--vars", "--target")]
        key = sha256(repr([] if is_parsed else words).encode()).hexdigest()
        kept = self.parsed / f"{key}.msgpack"
        found = self.root / "target" / "partial_parse.msgpack"
        last = found.with_name("variables")
        if kept.exists() and (not last.exists() or last.read_text() != key):
            found.parent.mkdir(exist_ok=True)
            shutil.copy(kept, found)
        yield
        if is_parsed:
            # It stands there as if it had been parsed with other variables.
            found.unlink(missing_ok=True)
            last.unlink(missing_ok=True)
        elif found.exists() and "--target-path" not in arguments:
            last.write_text(key)
            if not kept.exists():
                shutil.copy(found, kept.with_suffix(f".{os.getpid()}"))
                kept.with_suffix(f".{os.getpid()}").rename(kept)

    def build(self, *arguments: str, **more) -> subprocess.CompletedProcess:
        """Build as `make build` does."""
        return self.dbt(*BUILD, *arguments, **more)

    @contextmanager
    def start_dbt(self, *arguments: str) -> Iterator[subprocess.Popen]:
        """Start dbt in a process group of its own, which is gone at the end.

        Its output goes into the smallest pipe there is. So it waits for its reader, and is still
        under way after any line that many others follow, however slow the reader is.
        """
        process = subprocess.Popen(
            [DBT, "--no-use-colors", *arguments],
            cwd=self.root,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            pipesize=os.sysconf("SC_PAGE_SIZE"),
        )
        with process:
            try:
                yield process
            finally:
                kill(process)

    def generate_events(self, *arguments: str) -> None:
        """Replace the seed by events of the generator."""
        subprocess.run(
            [sys.executable, self.root / "scripts" / "ott", "generate", *arguments],
            check=True,
            capture_output=True,
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
    """Copy the work database into a folder, with tables in place of the views among the marts."""
    copy = Path(shutil.copy(project.root / "ott_build.duckdb", folder))
    with duckdb.connect(copy) as connection:
        for view in ("fct_compliance_events", "quarantined_compliance_events"):
            connection.execute(f"create table marts.copied as from marts.{view}")
            connection.execute(f"drop view marts.{view}")
            connection.execute(f"alter table marts.copied rename to {view}")
    return copy


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
                    assert math.isclose(value, other, rel_tol=tolerance, abs_tol=1e-12) or (
                        math.isnan(value) and math.isnan(other)
                    ), (name, row, wanted)
                else:
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


def copy_project(root: Path) -> None:
    """Copy what belongs to the project and nothing that was made of it."""
    for folder in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / folder, root / folder, ignore=ignored)
    for file in ROOT_FILES:
        shutil.copy(PROJECT / file, root / file)


@pytest.fixture(scope="session")
def new_project(tmp_path_factory, shared_folder) -> Callable[[str], Project]:
    """Return a function that makes a fresh copy of the project.

    It holds what dbt has parsed of the project before, so that it parses no more than what changes.
    """

    def parse(folder: Path) -> None:
        copy_project(folder / "project")
        result = Project(folder / "project", folder).dbt("--warn-error", "parse")
        assert result.returncode == 0, result.stdout

    parsed = make_once(shared_folder / "parsed", parse)

    def copy(name: str) -> Project:
        root = tmp_path_factory.mktemp(name)
        copy_project(root)
        return Project(root, parsed)

    return copy


@pytest.fixture(scope="session")
def built_project(shared_folder) -> Iterator[BuiltProject]:
    """A copy with the committed seed, built whole, warnings being errors.

    All tests share it, so none may change it; `own_build` is for those that run commands.
    """

    def build(folder: Path) -> None:
        copy_project(folder)
        result = Project(folder).dbt("--warn-error", "build")
        assert result.returncode == 0, result.stdout

    root = make_once(shared_folder / "seed", build)
    before = state_of_files(root)
    yield BuiltProject(root)
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


def state_of_files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file, but for what Python keeps of its own."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


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
    copy = tmp_path / "release"
    shutil.copytree(built_project.releases, copy, symlinks=True)
    return copy


@pytest.fixture
def work(built_project, tmp_path) -> Path:
    """A copy of the work database of the seed build, which can be damaged."""
    return copy_to_damage(built_project, tmp_path)


@pytest.fixture(scope="session")
def marts(built_project) -> Callable[[str], pd.DataFrame]:
    """Return a function that reads a public table of the seed build as a data frame."""

    def read(name: str) -> pd.DataFrame:
        with built_project.connect() as connection:
            return connection.sql(f"select * from marts.{name}").df()

    return read


@pytest.fixture(scope="session")
def client_folder(tmp_path_factory) -> Path:
    """Where other programs go; OTT_TEST_CLIENTS names a folder that stays for the next run."""
    if "OTT_TEST_CLIENTS" in os.environ:
        return Path(os.environ["OTT_TEST_CLIENTS"])
    return tmp_path_factory.mktemp("clients")


def install(folder: Path, command: Callable[[Path], list], probe: list) -> Path:
    """Run a command that fills a folder, unless it is there; skip without network.

    The probe is a command that asks the registry for anything: it tells a program that cannot be
    installed, which is a failure, from a machine without network.
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
