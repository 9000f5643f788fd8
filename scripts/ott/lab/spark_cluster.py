"""A small Spark cluster on this machine: a master, workers, a Thrift server.

All of it comes with the pyspark package, listens on 127.0.0.1 only, and works as a cluster of many
machines does.
"""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ott import PROJECT, OttError

HOST = "127.0.0.1"
NEEDED_JAVA = 17
STATE = "cluster.json"
UTC = "-Duser.timezone=UTC"


@dataclass(frozen=True)
class Settings:
    """A cluster to start, as `ott spark-cluster start --help` says."""

    folder: Path
    workers: int
    cores: int
    memory: str
    master_port: int
    thrift_port: int
    warehouse: Path
    timeout: int


def find_java() -> None:
    """Raise OttError unless there is a Java that Spark runs on."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = f"Install Java {NEEDED_JAVA} (Debian: apt-get install openjdk-17-jre-headless)"
    try:
        answer = subprocess.run([java or "java", "-version"], capture_output=True, text=True)
    except OSError:
        raise OttError(f"There is no Java here. {advice}, or set JAVA_HOME.") from None
    version = re.search(r'version "(\d+)', answer.stderr)
    if not version or int(version[1]) < NEEDED_JAVA:
        found = (answer.stderr or answer.stdout).splitlines()[:1]
        raise OttError(f"{java} is too old ({' '.join(found)}). {advice}, or set JAVA_HOME.")


def find_spark() -> Path:
    """Return the folder of Spark, of this Python or of `make spark`; raise OttError without one."""
    package = importlib.util.find_spec("pyspark")
    found = [Path(package.origin).parent] if package and package.origin else []
    found += sorted((PROJECT / ".venv" / "spark").glob("lib/python*/site-packages/pyspark"))
    if not found:
        raise OttError("There is no pyspark here. Run `make spark`, which installs it.")
    if not list(found[0].glob("jars/spark-hive-thriftserver_*.jar")):
        raise OttError(f"The Spark in {found[0]} comes without a Thrift server.")
    return found[0]


def read_state(folder: Path) -> dict:
    """Return what `start` wrote down about its processes; empty if it did not, or was stopped."""
    try:
        return json.loads((folder / STATE).read_text())
    except FileNotFoundError:
        return {"processes": {}}


def is_running(process: dict) -> bool:
    """Tell whether a process that `start` wrote down still runs, and is not another one by now."""
    answer = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(process["pid"])], capture_output=True, text=True
    ).stdout.strip()
    return process["class"] in answer and not answer.startswith("Z")


def is_open(port: int) -> bool:
    """Tell whether something listens on a port of this machine."""
    with socket.socket() as connection:
        connection.settimeout(1)
        return connection.connect_ex((HOST, port)) == 0


def start_processes(settings: Settings, spark: Path) -> None:
    """Start everything in the order of need; raise OttError when one ends or takes too long."""
    folder, memory, warehouse = settings.folder, settings.memory, settings.warehouse
    for needed in (folder, warehouse):
        needed.mkdir(parents=True, exist_ok=True)
    state = {"thrift_port": settings.thrift_port, "processes": {}}
    environment = {
        **os.environ,
        "SPARK_HOME": str(spark),
        # The web pages listen where this says, and everywhere without it.
        "SPARK_LOCAL_IP": HOST,
        "SPARK_PUBLIC_DNS": HOST,
        "SPARK_CONF_DIR": str(folder),
        "SPARK_DAEMON_MEMORY": "512m",
        # Without the second one, the master takes orders through one more port.
        "SPARK_DAEMON_JAVA_OPTS": f"{UTC} -Dspark.master.rest.enabled=false",
    }

    def start(name: str, said: str, is_ready: Callable[[Path], bool], *command: object) -> None:
        """Start a process of its own group, write it down, and wait until it is ready."""
        log = folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [spark / "bin" / "spark-class", *map(str, command)],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        state["processes"][name] = {"pid": process.pid, "class": command[0]}
        (folder / STATE).write_text(json.dumps(state, indent=2))
        print(f"{said} ...", end=" ", flush=True)
        began = time.monotonic()
        while not is_ready(log):
            if process.poll() is not None:
                last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise OttError(f"The {name} ended at once. The end of {log}:\n{last}")
            if time.monotonic() - began > settings.timeout:
                raise OttError(
                    f"The {name} was not ready after {settings.timeout} seconds. See {log}, "
                    "or wait longer with --timeout."
                )
            time.sleep(0.2)
        print(f"ready after {time.monotonic() - began:.0f} s")

    master = f"spark://{HOST}:{settings.master_port}"
    start(
        "master", f"Master at {master}", lambda log: is_open(settings.master_port),
        "org.apache.spark.deploy.master.Master",
        "--host", HOST, "--port", settings.master_port, "--webui-port", 0,
    )  # fmt: skip
    for number in range(1, settings.workers + 1):
        start(
            f"worker-{number}", f"Worker {number} of {settings.workers}",
            lambda log: b"Successfully registered with master" in log.read_bytes(),
            "org.apache.spark.deploy.worker.Worker", "--host", HOST, "--webui-port", 0,
            "--cores", settings.cores, "--memory", memory,
            "--work-dir", folder / f"worker-{number}", master,
        )  # fmt: skip
    options = {
        "spark.driver.host": HOST,
        "spark.driver.bindAddress": HOST,
        "spark.driver.memory": memory,
        # A worker has one executor; Spark takes a part of the memory for itself.
        "spark.executor.memory": memory,
        "spark.executor.extraJavaOptions": UTC,
        "spark.driver.extraJavaOptions": f"{UTC} -Dderby.stream.error.file={warehouse}/derby.log",
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": warehouse,
        "spark.hadoop.javax.jdo.option.ConnectionURL": (
            f"jdbc:derby:;databaseName={warehouse}/metastore;create=true"
        ),
        # As many parts as there are cores to work on them.
        "spark.sql.shuffle.partitions": settings.workers * settings.cores,
    }
    start(
        "thrift-server", f"Thrift server at {HOST}:{settings.thrift_port}",
        lambda log: is_open(settings.thrift_port),
        "org.apache.spark.deploy.SparkSubmit", "--master", master,
        "--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2",
        *(word for name, value in options.items() for word in ("--conf", f"{name}={value}")),
        "spark-internal",
        "--hiveconf", f"hive.server2.thrift.bind.host={HOST}",
        "--hiveconf", f"hive.server2.thrift.port={settings.thrift_port}",
    )  # fmt: skip


def start(settings: Settings) -> None:
    """Start a cluster; stops what it started if a part of it does not come up."""
    if any(map(is_running, read_state(settings.folder)["processes"].values())):
        raise OttError(f"A cluster of {settings.folder} runs already. Stop it first.")
    find_java()
    spark = find_spark()
    for port in (settings.master_port, settings.thrift_port):
        if is_open(port):
            raise OttError(
                f"Port {port} is taken. Choose another one with --master-port or --thrift-port."
            )
    try:
        start_processes(settings, spark)
    except BaseException:
        print()
        stop(settings.folder)
        raise
    port = "" if settings.thrift_port == 10001 else f"OTT_SPARK_PORT={settings.thrift_port} "
    print(f"Build with: {port}.venv/spark/bin/dbt build --target spark_thrift")


def stop(folder: Path) -> None:
    """Stop all processes that `start` started, the last one first."""
    processes = read_state(folder)["processes"]
    for name, process in reversed(processes.items()):
        for kind, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
            end = time.monotonic() + patience
            # What ended long ago may have left its number to a stranger.
            if is_running(process):
                # The group: the executors are those of their worker.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process["pid"], kind)
            while is_running(process) and time.monotonic() < end:
                time.sleep(0.1)
        if is_running(process):
            raise OttError(f"The {name} (process {process['pid']}) does not end.")
    (folder / STATE).unlink(missing_ok=True)
    print("The cluster is stopped." if processes else "There is no cluster to stop.")


def status(folder: Path) -> None:
    """Say which processes run; raises OttError unless all do."""
    state = read_state(folder)
    if not state["processes"]:
        raise OttError("There is no cluster.")
    running = {name: is_running(process) for name, process in state["processes"].items()}
    for name, runs in running.items():
        said, process = "runs" if runs else "has ended", state["processes"][name]["pid"]
        print(f"{name:15} {said}, process {process}")
    if not all(running.values()):
        raise OttError(f"See the logs in {folder}, stop the cluster, and start it.")
    print(f"Thrift server at {HOST}:{state['thrift_port']}")
