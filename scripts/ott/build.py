"""Run `dbt build`, say in a sentence what dbt itself answers with a traceback, and what was found.

Tracebacks are what dbt has for seeds that are not UTF-8, for a folder of its own that cannot be
written, both of which it meets before any code of a project runs, and for Ctrl-C.
"""

import gc
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ott import PROJECT, OttError
from ott.files import encoding_problem

# What a build writes to each of them is a good half of this.
ROOM_IN_BYTES = 16 * 2**20
FOLDERS = {"DBT_TARGET_PATH": "target", "DBT_LOG_PATH": "logs"}
STOPPED = "\nStopped. What was served before still is; the next build needs no repair.\n"
# Unit tests show that the code is right, on rows of their own: data does not change what they say.
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")


def problem_of_folder(variable: str, default: str) -> str | None:
    """Return a sentence when dbt cannot write to a folder, which the variable can move."""
    folder = Path(os.environ.get(variable) or default)
    advice = f"set that right, or let {variable} name another folder; nothing was changed."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(ROOM_IN_BYTES))
            file.flush()
        for path in folder.iterdir():
            if not os.access(path, os.W_OK):
                return f"{path} cannot be written: {advice}"
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror}): {advice}"
    return None


def stop(*_: object) -> None:
    """End at once: a build survives that at any moment, and dbt's way out is a traceback."""
    os.write(sys.stderr.fileno(), STOPPED.encode())
    os._exit(130)


def build(options: Sequence[str] = ()) -> int:
    """Build with dbt's options, publish, print what was found, and return dbt's exit code."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, stop)
    # dbt takes the folder that it runs in for the project's.
    os.chdir(PROJECT)
    problems = [encoding_problem(path) for path in sorted(Path("seeds").glob("*.csv"))]
    problems += [problem_of_folder(*folder) for folder in FOLDERS.items()]
    if problems := [*filter(None, problems)]:
        raise OttError("\n".join(problems))
    # A disk that fills up later costs lines of the log, not a traceback for each of them.
    logging.raiseExceptions = False
    # A helper process of Python's would speak of what a build that was stopped has left to it.
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    # Python would look for garbage in all that dbt has parsed, for a tenth of a build's time.
    gc.set_threshold(100_000)
    # Imported late, as that takes seconds; dbt notes its command from the arguments.
    from dbt.cli.main import cli

    served = _served()
    sys.argv[:] = ["dbt", "build", *WITHOUT_UNIT_TESTS, *options]
    try:
        cli()
    except SystemExit as end:
        if end.code == 0 and _served() != served:
            print(*summary(), sep="\n")
        return end.code
    return 0


def _served() -> str | None:
    from ott.releases import ReleaseError, current_release, release_folder

    try:
        return current_release(release_folder()).name
    except ReleaseError:
        return None


def summary() -> list[str]:
    """Return what the release that is served holds, in a few lines, and what to look at next."""
    from ott.catalog import SCHEMA, Release
    from ott.releases import CURRENT, DATABASE, release_folder

    with Release(release_folder()) as release:
        figures = {
            row["metric"]: row["value_number"]
            for row in release.query(f"from {SCHEMA}.compliance_summary")
        }
        judged = release.query(
            f"select finding, verdict from {SCHEMA}.key_findings"
            " where verdict is not null order by display_order"
        )
    rate = figures["violation_rate"]
    violations = "" if rate is None else f", {100 * rate:.1f} % of them violations"
    differing = [row["finding"] for row in judged if row["verdict"] == "differs"]
    file = os.path.relpath(release_folder() / CURRENT / DATABASE)
    return [
        "",
        f"{figures['total_events']:,.0f} events{violations}; {figures['quarantined_rows']:,.0f} of "
        f"{figures['raw_rows']:,.0f} raw rows are in quarantine.",
        f"{len(differing) or 'None'} of {len(judged)} findings claim{'s' * (len(differing) < 2)} a"
        f" difference beyond chance{':' if differing else '.'}",
        *(f"  {finding}" for finding in differing),
        "Next: `.venv/bin/ott query` prints the findings, `make report` draws them in",
        f"target/compliance_report.html, and any SQL client can read {file}.",
    ]
