"""Measure this project against SQL written by hand, pandas, polars and Spark on the same events.

Run `python scripts/benchmark.py --help` for what is measured and the options.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from ott.events import generator

# The package beside this file: Python prefers a package to a module of the same name.
from ott.lab.benchmark.engines import ENGINES, SPARK_MEMORY, START_UP, STEPS, Bench, steps_of
from ott.lab.benchmark.inputs import Input, prepare
from ott.lab.benchmark.reference import PROJECT
from ott.lab.benchmark.summary import SAMPLE, as_markdown, size_text, summarize

DEFAULT_OUTPUT = PROJECT / "target" / "benchmark"
PACKAGES = ("dbt-core", "dbt-duckdb", "duckdb", "pandas", "pyarrow", "polars", "numpy", "scipy")
SPARK_VARIABLE = "OTT_BENCHMARK_SPARK_DBT"

# --- what it ran on ------------------------------------------------------------------------------


def machine() -> dict[str, object]:
    """Return what the times hang on besides the code."""
    versions = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "cores": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "processor": _processor(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "versions": versions,
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        return f"{commit} with changes" if git("status", "--porcelain") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# --- running it all ------------------------------------------------------------------------------


def say(text: str) -> None:
    """Tell on stderr what is going on, with the time."""
    print(f"{datetime.now():%H:%M:%S}  {text}", file=sys.stderr, flush=True)


def plan(
    inputs: list[Input], steps: list[str], repeat: int
) -> Iterator[tuple[int, int, str, Input]]:
    """Yield round, size, step and input of every run, alternating between the steps.

    A round begins with start-up and next to no events.
    """
    for number in range(1, repeat + 1):
        if any(step.startswith("dbt") for step in steps):
            for step in START_UP:
                yield number, SAMPLE, step, inputs[0]
        for events in (SAMPLE, *(chosen.events for chosen in inputs)):
            chosen = next((one for one in inputs if one.events == events), inputs[0])
            for step in steps:
                yield number, events, step, chosen


def run_all(options: argparse.Namespace, result: dict) -> None:
    """Run everything, adding each run to the result, which is written after each."""
    inputs = [
        prepare(options.output / "inputs", events, options.seed, options.days, say)
        for events in options.sizes
    ]
    result["inputs"] = {
        str(one.events): {
            "rows": one.rows,
            "next_rows": one.next_rows,
            "users": one.users,
            "bytes": one.bytes,
        }
        for one in inputs
    }
    bench = Bench(
        options.output / "work",
        options.memory_limit,
        not options.no_row_level_release,
        options.spark_dbt,
    )
    runs = list(plan(inputs, steps_of(options.engines), options.repeat))
    for place, (number, events, step, chosen) in enumerate(runs, start=1):
        size = f"{size_text(events)} events" if events else "next to no events"
        about = f"[{place}/{len(runs)}] round {number}, {size}, {step}"
        say(f"{about} ...")
        found = bench.run(step, chosen, is_sample=events == SAMPLE)
        result["runs"].append(
            {
                "step": step,
                "events": events,
                "round": number,
                "command": [_shown(word) for word in found.command],
                "seconds": found.measured.seconds,
                "peak_bytes": found.measured.peak_bytes,
                "memory_limit": options.memory_limit,
                "details": found.details,
                "problem": found.problem,
            }
        )
        outcome = f"{found.measured.seconds:.1f} s, {found.measured.peak_bytes / 1e9:.2f} GB"
        say(f"{about}: {outcome}" + (f"\n{found.problem}" if found.problem else ""))
        write(options.output, result)


def _shown(word: str) -> str:
    """Return a word of a command without the folders that this project lies in."""
    return str(word).replace(f"{PROJECT}{os.sep}", "").replace(f"{sys.prefix}{os.sep}", "")


def write(folder: Path, result: dict) -> None:
    """Write what is known so far as JSON and Markdown; each file is whole at any moment."""
    result["summary"] = summarize(result)
    for name, text in (
        ("benchmark.json", json.dumps(result, indent=2) + "\n"),
        ("benchmark.md", as_markdown(result)),
    ):
        with generator.replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


# --- command line --------------------------------------------------------------------------------

DESCRIPTION = """\
Measure wall time and peak memory of the whole process tree, on the same Parquet
files of realistic events, one a day, with a few defects:

{engines}

Each is a process of its own, and they alternate: a round runs all of them once. A
round begins with next to no events, which shows what it costs to run at all; ratios
are given with and without that, and publishing a release is shown apart.

Writes benchmark.json (every run), benchmark.md (medians, ratios, goals) and the
events into the folder --output; events of an earlier run with the same arguments
are taken again. Ctrl-C ends everything and keeps what was measured.
"""
EPILOG = """\
examples:
  python scripts/benchmark.py --sizes 20k --repeat 1
  python scripts/benchmark.py --sizes 1M 10M --repeat 3
  python scripts/benchmark.py --sizes 100M --engines dbt --repeat 1 --memory-limit 4GB
"""


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)([kKmM]?)", text)
    events = int(found[1]) * {"": 1, "k": 1000, "m": 1_000_000}[found[2].lower()] if found else 0
    if not 5000 <= events <= 10**10:
        raise argparse.ArgumentTypeError(
            f"give a number of events from 5,000 on, such as 20k or 10M, not {text!r}"
        )
    return events


def _memory(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", text):
        raise argparse.ArgumentTypeError(f"give an amount such as 4GB, not {text!r}")
    return text


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, ENGINES))
    parser = generator._Parser(
        prog="benchmark.py",
        description=DESCRIPTION.format(
            engines="\n".join(
                f"  {name:{width}}  {text.replace('`', '')}" for name, text in ENGINES.items()
            )
        ),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--sizes",
        nargs="+",
        type=_size,
        default=[1_000_000, 10_000_000],
        metavar="N",
        help="numbers of events, such as 20k or 100M (default: 1M 10M)",
    )
    add(
        "--engines",
        nargs="+",
        choices=ENGINES,
        default=[name for name in ENGINES if name != "spark"],
        metavar="NAME",
        help="what to measure, see above (default: all but spark)",
    )
    add(
        "--repeat",
        type=generator._number(int, 1, 100),
        default=3,
        metavar="N",
        help="rounds (default: 3)",
    )
    add(
        "--days",
        type=generator._number(int, 8, 3650),
        default=90,
        metavar="D",
        help="days of events before the one that is added (default: 90)",
    )
    add(
        "--seed",
        type=generator._number(int, 0, 2**32 - 1),
        default=42,
        metavar="S",
        help="another seed, other events (default: 42)",
    )
    add(
        "--memory-limit",
        type=_memory,
        metavar="SIZE",
        help="DuckDB's memory limit in (a), (b) and (c), such as 4GB (default: DuckDB's own)",
    )
    add(
        "--no-row-level-release",
        action="store_true",
        help="leave the tables with a row an event or a user out of the releases",
    )
    add(
        "--spark-dbt",
        default=os.environ.get(SPARK_VARIABLE),
        metavar="PATH",
        help="dbt of an environment with dbt-spark, for the engine spark "
        f"(default: ${SPARK_VARIABLE}); ${SPARK_MEMORY} sets the memory of Spark",
    )
    add(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="FOLDER",
        help=f"what to write into (default: {DEFAULT_OUTPUT.relative_to(PROJECT)})",
    )
    return parser


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    options.sizes = sorted(set(options.sizes))
    options.engines = list(dict.fromkeys(options.engines))
    options.output = options.output.resolve()
    if "spark" in options.engines and not (options.spark_dbt and shutil.which(options.spark_dbt)):
        parser.error(
            "the engine spark needs --spark-dbt, the dbt executable of an environment with "
            f"dbt-spark (or ${SPARK_VARIABLE}); "
            + (f"there is none at {options.spark_dbt}" if options.spark_dbt else "none is given")
        )
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"{options.output} cannot be made: {error.strerror}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code is 1 if a measured command failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check(parser, options)
    started = time.monotonic()
    result = {
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": {
            name: getattr(options, name)
            for name in (
                "engines",
                "repeat",
                "days",
                "seed",
                "memory_limit",
                "no_row_level_release",
            )
        },
        "sizes": options.sizes,
        "steps": STEPS,
        "machine": machine(),
        "inputs": {},
        "runs": [],
    }
    try:
        run_all(options, result)
    except KeyboardInterrupt:
        kept = "kept what was measured" if result["runs"] else "nothing was measured"
        parser.exit(130, f"stopped; {kept}\n")
    except (OSError, RuntimeError) as error:
        parser.exit(1, f"{error}\n")
    finally:
        # Databases of this size would fill the disk.
        shutil.rmtree(options.output / "work", ignore_errors=True)
    print(as_markdown(result))
    say(f"took {(time.monotonic() - started) / 60:.1f} minutes, see {options.output}")
    return 1 if any(run["problem"] for run in result["runs"]) else 0


if __name__ == "__main__":
    # Stop on SIGTERM as on Ctrl-C, so that no process is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
