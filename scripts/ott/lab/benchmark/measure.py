"""Running a command and watching its whole process tree."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
    """
    with log.open("wb") as output:
        started, collected = time.perf_counter(), sum(os.times()[2:4])
        # A session of its own, so that Ctrl-C reaches it through this process only.
        streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        process = psutil.Popen(
            command, cwd=folder, env=environment, start_new_session=True, **streams
        )
        cpu: dict[psutil.Process, float] = {}
        peak = 0
        try:
            while process.poll() is None:
                peak = max(peak, _look(process, cpu))
                with suppress(psutil.TimeoutExpired):
                    process.wait(INTERVAL_SECONDS)
            seconds = time.perf_counter() - started
        finally:
            _end(process, cpu)
    # What was collected is exact, but lacks processes that nobody waited for, such as Spark's.
    exact = sum(os.times()[2:4]) - collected
    return Measured(seconds, max(exact, sum(cpu.values())), peak, process.returncode)


def _look(root: psutil.Popen, cpu: dict[psutil.Process, float]) -> int:
    """Return the resident memory of a process and all its descendants; note their CPU seconds."""
    total = 0
    with suppress(psutil.Error):
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
                times = process.cpu_times()
                cpu[process] = times.user + times.system
    return total


def _end(root: psutil.Popen, seen: dict[psutil.Process, float]) -> None:
    """End whatever is left of a process tree: politely first, then not."""
    if root.poll() is None:
        _look(root, seen)
        with suppress(ProcessLookupError):
            os.killpg(root.pid, signal.SIGTERM)
        with suppress(psutil.TimeoutExpired):
            root.wait(GRACE_SECONDS)
    # psutil compares start times: a number that another process got since is left alone.
    left = [other for other in seen if other.is_running()]
    for other in left:
        with suppress(psutil.Error):
            other.kill()
    psutil.wait_procs(left, GRACE_SECONDS)
    root.wait()
