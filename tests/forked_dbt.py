"""dbt as a fork of a process that has imported it: most calls take less than that import.

Kills, limits, locales and what users type are tested with processes as the shell starts them.
"""

import atexit
import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parent.parent
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["dbt.cli.main", "dbt.adapters.duckdb.plugins", "pandas", "pyarrow"])
SECONDS = 600


def run_dbt(
    arguments: tuple[str, ...], folder: Path, environment: dict[str, str], is_parsed: bool = False
) -> subprocess.CompletedProcess:
    """Run dbt in a folder, with no variables but these; stdout holds both outputs as text.

    With `is_parsed`, dbt takes what it has parsed for right, whatever the project's variables.
    Raises subprocess.TimeoutExpired after ten minutes.
    """
    command = ["dbt", *map(str, arguments)]
    with tempfile.NamedTemporaryFile() as output:
        process = FORKS.Process(
            target=become_dbt, args=(command, folder, environment, output.name, is_parsed)
        )
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, SECONDS)
        text = output.read().decode()
    return subprocess.CompletedProcess(command, process.exitcode, text)


def become_dbt(
    command: list[str], folder: Path, environment: dict[str, str], output: str, is_parsed: bool
) -> None:
    """Do what the command does, in a process that is a fork."""
    with open(output, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # The scripts are those of the project that dbt finds, not of the one that the tests import.
    own = {PROJECT / "scripts", PROJECT / "tests"}
    sys.path[:] = [path for path in sys.path if path and Path(path) not in own]
    sys.argv[:] = command
    # As `ott build` does.
    gc.set_threshold(100_000)
    from dbt.cli.main import cli

    if is_parsed:
        from dbt.parser.manifest import ManifestLoader

        ManifestLoader.is_partial_parsable = lambda loader, manifest: (True, None)
    try:
        cli()
    finally:
        # A fork ends without them, and so without what closes the database.
        atexit._run_exitfuncs()
