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

    `cpu_seconds` are those of user and system of all its processes, as far as they were seen in
    the last moment before each ended. `peak_bytes` is the largest sum of their resident memory at
    one moment; pages that several of them share count in each.
    """

    seconds: float
    cpu_seconds: float
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
        collected = os.times()
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
        cpu: dict[int, float] = {}
        peak = 0
        try:
            while process.poll() is None:
                peak = max(peak, _look(process.pid, seen, cpu))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(INTERVAL_SECONDS)
            seconds = time.perf_counter() - started
        finally:
            _end(process, seen)
    # What was collected is exact, but lacks processes that nobody waited for, such as Spark's.
    user, system = (
        now - before for now, before in zip(os.times()[2:4], collected[2:4], strict=True)
    )
    return Measured(seconds, max(user + system, sum(cpu.values())), peak, process.returncode)


def _look(pid: int, seen: dict[int, psutil.Process], cpu: dict[int, float]) -> int:
    """Return the resident memory of a process and all its descendants; note them and their CPU."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
                seen.setdefault(process.pid, process)
                times = process.cpu_times()
                cpu[process.pid] = times.user + times.system
    return total


def _end(process: subprocess.Popen, seen: Mapping[int, psutil.Process]) -> None:
    """End whatever is left of a process tree: politely first, then not."""
    if process.poll() is None:
        _look(process.pid, dict(seen), {})
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
