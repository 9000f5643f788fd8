"""Measure this project against SQL written by hand, pandas, polars and Spark on the same events.

A round runs each step once; what is measured is that of the whole process tree.
"""

import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from ott import PROJECT, WrongArgumentsError
from ott.files import whole_file
from ott.lab.benchmark.engines import START_UP, STEPS, Bench, steps_of
from ott.lab.benchmark.inputs import Input, prepare
from ott.lab.benchmark.summary import SAMPLE, as_markdown, size_text, summarize
from ott.releases import git_commit

PACKAGES = ("dbt-core", "dbt-duckdb", "duckdb", "pandas", "pyarrow", "polars", "numpy", "scipy")


def machine() -> dict[str, object]:
    """Return what the times hang on besides the code."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "cores": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": versions,
        "commit": git_commit() or "unknown",
    }


def _processor() -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        if found := re.search(r"^model name\s*: (.*)$", text, re.MULTILINE):
            return found[1].strip()
    return platform.machine()


def say(text: str) -> None:
    """Tell on stderr what is going on, with the time."""
    print(f"{datetime.now():%H:%M:%S}  {text}", file=sys.stderr, flush=True)


def plan(
    inputs: list[Input], steps: list[str], repeat: int
) -> Iterator[tuple[int, int, str, Input]]:
    """Yield round, size, step and input of every run; a round begins with next to no events."""
    for number in range(1, repeat + 1):
        if any(step.startswith("dbt") for step in steps):
            for step in START_UP:
                yield number, SAMPLE, step, inputs[0]
        for events, chosen in ((SAMPLE, inputs[0]), *((one.events, one) for one in inputs)):
            for step in steps:
                yield number, events, step, chosen


def run_all(result: dict, output: Path, spark_dbt: str | None) -> None:
    """Run what the arguments in the result say, adding each run to it, and write it after each."""
    told = result["arguments"]
    inputs = [
        prepare(output / "inputs", events, told["seed"], told["days"], say)
        for events in result["sizes"]
    ]
    result["inputs"] = {
        str(one.events): asdict(one) | {"folder": one.folder.name} for one in inputs
    }
    with_rows = not told["no_row_level_release"]
    bench = Bench(output / "work", told["memory_limit"], with_rows, spark_dbt)
    runs = list(plan(inputs, steps_of(told["engines"]), told["repeat"]))
    for place, (number, events, step, chosen) in enumerate(runs, start=1):
        size = f"{size_text(events)} events" if events else "next to no events"
        about = f"[{place}/{len(runs)}] round {number}, {size}, {step}"
        say(f"{about} ...")
        found = bench.run(step, chosen, is_sample=events == SAMPLE)
        run = {"step": step, "events": events, "round": number, **asdict(found)}
        # Without the folders that this project lies in.
        here = re.compile("|".join(re.escape(f"{path}{os.sep}") for path in (PROJECT, sys.prefix)))
        run["command"] = [here.sub("", word) for word in found.command]
        result["runs"].append(run | {"memory_limit": told["memory_limit"]})
        times = f"{found.seconds:.1f} s ({found.cpu_seconds:.1f} s of CPU)"
        problem = f"\n{found.problem}" if found.problem else ""
        say(f"{about}: {times}, {found.peak_bytes / 1e9:.2f} GB{problem}")
        result["summary"] = summarize(result)
        texts = {"json": json.dumps(result, indent=2) + "\n", "md": as_markdown(result)}
        for suffix, text in texts.items():
            with whole_file(output / f"benchmark.{suffix}") as temporary:
                temporary.write_text(text, encoding="utf-8")


def benchmark(sizes: list[int], output: Path, spark_dbt: str | None, **arguments: Any) -> bool:
    """Measure, print and keep what was found; return whether every command ended well.

    The arguments are those of `ott benchmark`.
    """
    if "spark" in arguments["engines"] and not (spark_dbt and shutil.which(spark_dbt)):
        raise WrongArgumentsError(
            "the engine spark needs --spark-dbt, the dbt executable of an environment with "
            "dbt-spark (or $OTT_BENCHMARK_SPARK_DBT); "
            + (f"there is none at {spark_dbt}" if spark_dbt else "none is given")
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongArgumentsError(f"{output} cannot be made: {error.strerror}") from None
    started = time.monotonic()
    result = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "sizes": sizes,
        "steps": STEPS,
        "machine": machine(),
        "inputs": {},
        "runs": [],
    }
    try:
        run_all(result, output, spark_dbt)
    except KeyboardInterrupt:
        say("kept what was measured" if result["runs"] else "nothing was measured")
        raise
    finally:
        # Databases of this size would fill the disk.
        shutil.rmtree(output / "work", ignore_errors=True)
    print(as_markdown(result))
    say(f"took {(time.monotonic() - started) / 60:.1f} minutes, see {output}")
    return not any(run["problem"] for run in result["runs"])
