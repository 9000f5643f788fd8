"""Run `dbt build`, and say in a sentence what dbt itself answers with a traceback.

That is a folder for its files that cannot be written, which it meets before any code of a project
runs, and Ctrl-C.
"""

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

# What a build writes to each of them is a good half of this.
ROOM_IN_BYTES = 16 * 2**20
STOPPED = "\nStopped. What was served before still is; the next build needs no repair.\n"


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


def main() -> int:
    """Run the build; the exit code is dbt's, 1 without a folder to write to, 130 after Ctrl-C."""
    signal.signal(signal.SIGINT, stop)
    folders = {"DBT_TARGET_PATH": "target", "DBT_LOG_PATH": "logs"}
    problems = [*filter(None, (problem_of_folder(*folder) for folder in folders.items()))]
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    # A disk that fills up later costs lines of the log, not a traceback for each of them.
    logging.raiseExceptions = False
    # A helper process of Python's would speak of what a build that was stopped has left to it.
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning:multiprocessing.resource_tracker"
    # Imported late, as that takes seconds; dbt notes its command from the arguments.
    from dbt.cli.main import cli

    sys.argv[1:] = ["build"]
    return cli()


if __name__ == "__main__":
    sys.exit(main())
