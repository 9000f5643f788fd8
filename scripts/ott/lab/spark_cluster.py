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


@dataclass(frozen=True)
class Settings:
    """A cluster to start; `folder` keeps process ids and logs, `warehouse` the tables.

    `cores` are those of each worker, `memory` is that of each worker and of the Thrift server,
    such as 2g; `timeout` is how many seconds to wait for each process.
    """

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
    """Return the folder of Spark in a pyspark package, of this Python or of `make spark`.

    Raises OttError when there is none.
    """
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
        return {}


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


class Starter:
    """Starts the processes of a cluster one after the other."""

    def __init__(self, settings: Settings, spark: Path) -> None:
        """Prepare the folder."""
        self.settings = settings
        self.spark = spark
        self.folder = settings.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = {"thrift_port": settings.thrift_port, "processes": {}}

    def launch(self, name: str, java_class: str, *command: str) -> None:
        """Start a process of its own group, write it down, and return at once."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [self.spark / "bin" / "spark-class", *command],
                env={
                    **os.environ,
                    "SPARK_HOME": str(self.spark),
                    # The web pages listen where this says, and everywhere without it.
                    "SPARK_LOCAL_IP": HOST,
                    "SPARK_PUBLIC_DNS": HOST,
                    "SPARK_CONF_DIR": str(self.folder),
                    "SPARK_DAEMON_MEMORY": "512m",
                    # Without the second one, the master takes orders through one more port.
                    "SPARK_DAEMON_JAVA_OPTS": (
                        "-Duser.timezone=UTC -Dspark.master.rest.enabled=false"
                    ),
                },
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.state["processes"][name] = {"pid": process.pid, "class": java_class}
        (self.folder / STATE).write_text(json.dumps(self.state, indent=2))
        self.process = process

    def wait(self, name: str, what: str, is_ready: Callable[[], bool]) -> None:
        """Wait until a process is ready; raises OttError when it ends or takes too long."""
        print(f"{what} ...", end=" ", flush=True)
        began = time.monotonic()
        log = self.folder / f"{name}.log"
        while not is_ready():
            if self.process.poll() is not None:
                last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise OttError(f"The {name} ended at once. The end of {log}:\n{last}")
            if time.monotonic() - began > self.settings.timeout:
                raise OttError(
                    f"The {name} was not ready after {self.settings.timeout} seconds. See {log}, "
                    "or wait longer with --timeout."
                )
            time.sleep(0.2)
        print(f"ready after {time.monotonic() - began:.0f} s")

    def start(self) -> None:
        """Start everything, in the order in which one needs the other."""
        settings = self.settings
        master = f"spark://{HOST}:{settings.master_port}"
        java_class = "org.apache.spark.deploy.master.Master"
        self.launch(
            "master", java_class, java_class,
            "--host", HOST, "--port", str(settings.master_port), "--webui-port", "0",
        )  # fmt: skip
        self.wait("master", f"Master at {master}", lambda: is_open(settings.master_port))
        java_class = "org.apache.spark.deploy.worker.Worker"
        for number in range(1, settings.workers + 1):
            name = f"worker-{number}"
            self.launch(
                name, java_class, java_class,
                "--host", HOST, "--webui-port", "0",
                "--cores", str(settings.cores), "--memory", settings.memory,
                "--work-dir", str(self.folder / name), master,
            )  # fmt: skip
            log = self.folder / f"{name}.log"
            self.wait(
                name,
                f"Worker {number} of {settings.workers}",
                lambda log=log: b"Successfully registered with master" in log.read_bytes(),
            )
        java_class = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
        options = []
        for option, value in self.spark_settings().items():
            options += ["--conf", f"{option}={value}"]
        self.launch(
            "thrift-server", java_class, "org.apache.spark.deploy.SparkSubmit",
            "--class", java_class, "--master", master, *options, "spark-internal",
            "--hiveconf", f"hive.server2.thrift.bind.host={HOST}",
            "--hiveconf", f"hive.server2.thrift.port={settings.thrift_port}",
        )  # fmt: skip
        self.wait(
            "thrift-server",
            f"Thrift server at {HOST}:{settings.thrift_port}",
            lambda: is_open(settings.thrift_port),
        )

    def spark_settings(self) -> dict[str, str]:
        """Settings of Spark for the Thrift server."""
        settings = self.settings
        warehouse = settings.warehouse
        warehouse.mkdir(parents=True, exist_ok=True)
        return {
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.driver.memory": settings.memory,
            # A worker has one executor; Spark takes a part of the memory for itself.
            "spark.executor.memory": settings.memory,
            "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
            "spark.driver.extraJavaOptions": (
                f"-Duser.timezone=UTC -Dderby.stream.error.file={warehouse}/derby.log"
            ),
            "spark.ui.enabled": "false",
            "spark.sql.warehouse.dir": str(warehouse),
            "spark.hadoop.javax.jdo.option.ConnectionURL": (
                f"jdbc:derby:;databaseName={warehouse}/metastore;create=true"
            ),
            # As many parts as there are cores to work on them.
            "spark.sql.shuffle.partitions": str(settings.workers * settings.cores),
        }


def start(settings: Settings) -> None:
    """Start a cluster; stops what it started if a part of it does not come up."""
    if any(map(is_running, read_state(settings.folder).get("processes", {}).values())):
        raise OttError(f"A cluster of {settings.folder} runs already. Stop it first.")
    find_java()
    spark = find_spark()
    for port in (settings.master_port, settings.thrift_port):
        if is_open(port):
            raise OttError(
                f"Port {port} is taken. Choose another one with --master-port or --thrift-port."
            )
    try:
        Starter(settings, spark).start()
    except BaseException:
        print()
        stop(settings.folder)
        raise
    port = "" if settings.thrift_port == 10001 else f"OTT_SPARK_PORT={settings.thrift_port} "
    print(f"Build with: {port}.venv/spark/bin/dbt build --target spark_thrift")


def stop(folder: Path) -> None:
    """Stop all processes that `start` started, the last one first."""
    processes = read_state(folder).get("processes", {})
    for name, process in reversed(processes.items()):
        # What ended long ago may have left its number to a stranger.
        if not is_running(process):
            continue
        for kind, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 10)):
            # The group: the executors are those of their worker.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process["pid"], kind)
            end = time.monotonic() + patience
            while is_running(process) and time.monotonic() < end:
                time.sleep(0.1)
        if is_running(process):
            raise OttError(f"The {name} (process {process['pid']}) does not end.")
    (folder / STATE).unlink(missing_ok=True)
    print("The cluster is stopped." if processes else "There is no cluster to stop.")


def status(folder: Path) -> None:
    """Say which processes run; raises OttError unless all do."""
    state = read_state(folder)
    if not state:
        raise OttError("There is no cluster.")
    missing = []
    for name, process in state["processes"].items():
        running = is_running(process)
        print(f"{name:15} {'runs' if running else 'has ended'}, process {process['pid']}")
        if not running:
            missing.append(name)
    if missing:
        raise OttError(f"See the logs in {folder}, stop the cluster, and start it.")
    print(f"Thrift server at {HOST}:{state['thrift_port']}")
