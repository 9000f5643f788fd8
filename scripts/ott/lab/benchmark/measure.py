"""Running a command and watching its whole process tree."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.05
GRACE_SECONDS = 5


@dataclass(frozen=True)
class Measured:
    """What a command took.

    `peak_bytes` is the largest sum of the resident memory of all its processes at one moment;
    pages that several of them share count in each.
    """

    seconds: float
    peak_bytes: int
    exit_code: int


def measure(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], log: Path
) -> Measured:
    """Run a command in a folder with its output in the file `log`.

    Whatever ends this call early, Ctrl-C included, ends the command and all its processes first.
    Raises OSError if the command cannot be started.
    """
    with log.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Of its own, so that Ctrl-C reaches it through this process only.
            start_new_session=True,
        )
        seen: dict[int, psutil.Process] = {}
        peak = 0
        try:
            while True:
                peak = max(peak, _resident_bytes(process.pid, seen))
                try:
                    process.wait(INTERVAL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
            seconds = time.perf_counter() - started
        finally:
            _end(process, seen)
    return Measured(seconds, peak, process.returncode)


def _resident_bytes(pid: int, seen: dict[int, psutil.Process]) -> int:
    """Return the resident memory of a process and all its descendants; note them in `seen`."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
                seen.setdefault(process.pid, process)
    return total


def _end(process: subprocess.Popen, seen: Mapping[int, psutil.Process]) -> None:
    """End whatever is left of a process tree: politely first, then not."""
    if process.poll() is None:
        _resident_bytes(process.pid, dict(seen))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    # psutil compares start times: a number that another process got since is left alone.
    left = [other for other in seen.values() if other.is_running()]
    for other in left:
        with contextlib.suppress(psutil.Error):
            other.kill()
    psutil.wait_procs(left, GRACE_SECONDS)
    process.wait()
