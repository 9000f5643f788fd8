"""What is measured: the commands, and what they leave behind."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ott import PROJECT
from ott.lab import DBT, environment_without_settings
from ott.lab.benchmark.inputs import Input
from ott.lab.benchmark.measure import measure
from ott.registry import COLUMNS

WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")

# The engines as the command line names them.
ENGINES = {
    "dbt": "(a) `dbt build` with all tests, and publishing",
    "dbt-no-tests": "(b) `dbt build` without tests, which publishes nothing",
    "sql": "(c) DuckDB, SQL written by hand",
    "pandas": "(d) pandas with pyarrow",
    "polars": "(e) polars",
    "spark": "(f) `dbt build` on Spark, local[2], without tests",
    "increment": "one day more, after (a) and (b)",
}
# What is run, in this order within a round.
STEPS = {
    "parse-anew": "`dbt parse`, nothing parsed before",
    "parse": "`dbt parse`, nothing changed",
    "dbt": ENGINES["dbt"],
    "dbt-unchanged": "(a) again, nothing changed",
    "dbt-one-day": "(a) again, one day more",
    "dbt-no-tests": ENGINES["dbt-no-tests"],
    "dbt-no-tests-unchanged": "(b) again, nothing changed",
    "dbt-no-tests-one-day": "(b) again, one day more",
    **{engine: ENGINES[engine] for engine in ("sql", "pandas", "polars", "spark")},
}
START_UP = ("parse-anew", "parse")


def steps_of(engines: Sequence[str]) -> list[str]:
    """Return the steps that engines take on every input; start-up apart."""
    steps = {*engines}
    if "increment" in engines:
        builds = steps & {"dbt", "dbt-no-tests"} or {"dbt-no-tests"}
        for build in builds:
            steps |= {build, f"{build}-unchanged", f"{build}-one-day"}
    return [step for step in STEPS if step in steps]


@dataclass(frozen=True)
class Result:
    """What a step took; `details` hold what dbt says of its nodes, `problem` how it failed."""

    command: list[str]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    problem: str | None
    details: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """A folder in which the steps run, each in a folder of its own.

    `memory_limit` is DuckDB's, such as 4GB; None leaves it what it is. Without
    `publishes_row_level`, releases lack the tables with a row an event or a user.
    """

    folder: Path
    memory_limit: str | None = None
    publishes_row_level: bool = True
    spark_dbt: str | None = None

    def run(self, step: str, events: Input, is_sample: bool) -> Result:
        """Run a step; incremental ones go on from where the last full build ended."""
        build = step.removesuffix("-unchanged").removesuffix("-one-day")
        own = self.folder / ("dbt" if step in START_UP else build)
        own.mkdir(parents=True, exist_ok=True)
        if step in START_UP:
            self._feed(own, events, is_sample)
            options = ("--no-partial-parse",) if step == "parse-anew" else ()
            return self._dbt(step, own, "parse", *options)
        if step.endswith("-one-day"):
            _link(events.next_day(is_sample), own / "events")
        elif not step.endswith("-unchanged"):
            self._feed(own, events, is_sample)
            # All that a build left, but what dbt parsed.
            for folder in ("release", "temporary", "warehouse", "tables"):
                shutil.rmtree(own / folder, ignore_errors=True)
            for file in own.glob("*.duckdb*"):
                file.unlink()
        on_spark = ("--target", "spark", *WITHOUT_TESTS)
        options = {"dbt": (), "dbt-no-tests": WITHOUT_TESTS, "spark": on_spark}
        if build in options:
            return self._dbt(step, own, "build", *options[build])
        return self._script(step, own)

    def _feed(self, own: Path, events: Input, is_sample: bool) -> None:
        """Lay the files of the days out; always in one place, as dbt parses anew for another."""
        shutil.rmtree(own / "events", ignore_errors=True)
        (own / "events").mkdir()
        for file in events.days(is_sample):
            _link(file, own / "events")

    def _script(self, step: str, own: Path) -> Result:
        command = [sys.executable, "-m", "ott.lab.benchmark", step]
        command += [str(own / "events" / "*.parquet"), str(own / "tables")]
        if step == "sql" and self.memory_limit:
            command.append(self.memory_limit)
        return _run(command, own, own / f"{step}.log", {"PYTHONPATH": str(PROJECT / "scripts")})

    def _dbt(self, step: str, own: Path, command: str, *options: str) -> Result:
        # The others do without what is missing.
        chosen = {"events_source": str(own / "events" / "*.parquet"), "required_columns": COLUMNS}
        if not self.publishes_row_level:
            chosen["publish_row_level_marts"] = False
        dbt = [str(self.spark_dbt if step == "spark" else DBT), "--no-use-colors"]
        target, log = own / "target", own / f"{step}.log"
        settings = ["--vars", json.dumps(chosen), "--target-path", str(target)]
        settings += ["--log-path", str(own / "logs")]
        environment = {
            "OTT_DATABASE_PATH": str(own / "build.duckdb"),
            "OTT_RELEASE_PATH": str(own / "release"),
            "OTT_TEMP_PATH": str(own / "temporary"),
            "OTT_SPARK_WAREHOUSE": str(own / "warehouse"),
        }
        if self.memory_limit:
            environment["OTT_MEMORY_LIMIT"] = self.memory_limit
        results = target / "run_results.json"
        results.unlink(missing_ok=True)
        if command != "parse" and not (target / "partial_parse.msgpack").exists():
            # Every build finds the project parsed; what parsing costs is a step of its own.
            for_spark = ("--target", "spark") if step == "spark" else ()
            _run([*dbt, "parse", *for_spark, *settings], PROJECT, log, environment)
        result = _run([*dbt, command, *options, *settings], PROJECT, log, environment)
        if results.exists():
            result.details.update(_details(results))
        if result.problem is None and step.startswith("dbt"):
            result.details["is_published"] = (own / "release" / "current").exists()
        return result


def _run(command: list[str], folder: Path, log: Path, settings: dict[str, str]) -> Result:
    # Spark needs the memory that it is given here for many events.
    environment = environment_without_settings("OTT_SPARK_MEMORY") | settings
    took = measure(command, folder, environment, log)
    problem = None
    if took.exit_code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        problem = f"exit code {took.exit_code}: " + "\n".join(lines[-15:])
    return Result(command, took.seconds, took.cpu_seconds, took.peak_bytes, problem)


def _link(file: Path, folder: Path) -> None:
    """Give a file a second name in a folder; a copy where the file system has none."""
    try:
        os.link(file, folder / file.name)
    except OSError:
        shutil.copy2(file, folder)


def _details(results: Path) -> dict[str, object]:
    """Return the times in seconds that dbt took for nodes, tests and publishing."""
    rows = json.loads(results.read_text(encoding="utf-8"))["results"]
    seconds = {row["unique_id"]: row["execution_time"] for row in rows}

    def sum_of(*kinds: str) -> float:
        return sum(time for name, time in seconds.items() if name.split(".")[0] in kinds)

    hooks = [name for name in seconds if name.startswith("operation.")]
    slowest = sorted(seconds, key=seconds.get, reverse=True)[:8]
    return {
        "nodes": len(seconds) - len(hooks),
        "node_seconds": sum(seconds.values()) - sum_of("operation"),
        "model_seconds": sum_of("model", "seed"),
        "test_seconds": sum_of("test", "unit_test"),
        "publishing_seconds": sum(seconds[name] for name in hooks if name.endswith("on-run-end-0")),
        "slowest": {name: seconds[name] for name in slowest},
    }
