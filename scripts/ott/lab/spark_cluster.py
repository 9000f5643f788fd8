"""Start, show and stop a small Spark cluster on this machine: a master, workers, a Thrift server.

All of it comes with the pyspark package, listens on 127.0.0.1 only, and works as a cluster of many
machines does. Run it with the Python that pyspark is installed in:
.venv/spark/bin/python scripts/spark_cluster.py start
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from ott import PROJECT

HOST = "127.0.0.1"
NEEDED_JAVA = 17
STATE = "cluster.json"

HELP_EPILOG = """\
examples:
  .venv/spark/bin/python scripts/spark_cluster.py start --workers 2 --memory 2g
  .venv/spark/bin/dbt build --target spark_thrift
  .venv/spark/bin/python scripts/spark_cluster.py stop

Everybody who can log in to this machine can query the Thrift server: it asks for no password.
Tables stay in the warehouse (OTT_SPARK_WAREHOUSE) when the cluster stops. One process at a time can
use it: not the cluster and `dbt build --target spark` together.
"""


class ClusterError(Exception):
    """A sentence for the user: why the cluster does not start or stop, and what to do."""


def find_java() -> None:
    """Raise ClusterError unless there is a Java that Spark runs on."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    advice = f"Install Java {NEEDED_JAVA} (Debian: apt-get install openjdk-17-jre-headless)"
    try:
        answer = subprocess.run([java or "java", "-version"], capture_output=True, text=True)
    except OSError:
        raise ClusterError(f"There is no Java here. {advice}, or set JAVA_HOME.") from None
    version = re.search(r'version "(\d+)', answer.stderr)
    if not version or int(version[1]) < NEEDED_JAVA:
        found = (answer.stderr or answer.stdout).splitlines()[:1]
        raise ClusterError(f"{java} is too old ({' '.join(found)}). {advice}, or set JAVA_HOME.")


def find_spark() -> Path:
    """Return the folder of Spark in the pyspark package; raises ClusterError without one."""
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        raise ClusterError(
            "This Python has no pyspark. Run `make spark` and start the script with "
            ".venv/spark/bin/python."
        )
    spark = Path(package.origin).parent
    if not list(spark.glob("jars/spark-hive-thriftserver_*.jar")):
        raise ClusterError(f"The Spark in {spark} comes without a Thrift server.")
    return spark


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

    def __init__(self, arguments: argparse.Namespace, spark: Path) -> None:
        """Prepare the folder."""
        self.arguments = arguments
        self.spark = spark
        self.folder = arguments.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = {"thrift_port": arguments.thrift_port, "processes": {}}

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

    def wait(self, name: str, what: str, is_ready) -> None:
        """Wait until a process is ready; raises ClusterError when it ends or takes too long."""
        print(f"{what} ...", end=" ", flush=True)
        began = time.monotonic()
        log = self.folder / f"{name}.log"
        while not is_ready():
            if self.process.poll() is not None:
                last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                raise ClusterError(f"The {name} ended at once. The end of {log}:\n{last}")
            if time.monotonic() - began > self.arguments.timeout:
                raise ClusterError(
                    f"The {name} was not ready after {self.arguments.timeout} seconds. See {log}, "
                    "or wait longer with --timeout."
                )
            time.sleep(0.2)
        print(f"ready after {time.monotonic() - began:.0f} s")

    def start(self) -> None:
        """Start everything, in the order in which one needs the other."""
        arguments = self.arguments
        master = f"spark://{HOST}:{arguments.master_port}"
        java_class = "org.apache.spark.deploy.master.Master"
        self.launch(
            "master", java_class, java_class,
            "--host", HOST, "--port", str(arguments.master_port), "--webui-port", "0",
        )  # fmt: skip
        self.wait("master", f"Master at {master}", lambda: is_open(arguments.master_port))
        java_class = "org.apache.spark.deploy.worker.Worker"
        for number in range(1, arguments.workers + 1):
            name = f"worker-{number}"
            self.launch(
                name, java_class, java_class,
                "--host", HOST, "--webui-port", "0",
                "--cores", str(arguments.cores), "--memory", arguments.memory,
                "--work-dir", str(self.folder / name), master,
            )  # fmt: skip
            log = self.folder / f"{name}.log"
            self.wait(
                name,
                f"Worker {number} of {arguments.workers}",
                lambda log=log: b"Successfully registered with master" in log.read_bytes(),
            )
        java_class = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"
        options = []
        for option, value in self.settings().items():
            options += ["--conf", f"{option}={value}"]
        self.launch(
            "thrift-server", java_class, "org.apache.spark.deploy.SparkSubmit",
            "--class", java_class, "--master", master, *options, "spark-internal",
            "--hiveconf", f"hive.server2.thrift.bind.host={HOST}",
            "--hiveconf", f"hive.server2.thrift.port={arguments.thrift_port}",
        )  # fmt: skip
        self.wait(
            "thrift-server",
            f"Thrift server at {HOST}:{arguments.thrift_port}",
            lambda: is_open(arguments.thrift_port),
        )

    def settings(self) -> dict[str, str]:
        """Settings of Spark for the Thrift server."""
        arguments = self.arguments
        warehouse = arguments.warehouse
        warehouse.mkdir(parents=True, exist_ok=True)
        return {
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.driver.memory": arguments.memory,
            # A worker has one executor; Spark takes a part of the memory for itself.
            "spark.executor.memory": arguments.memory,
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
            "spark.sql.shuffle.partitions": str(arguments.workers * arguments.cores),
        }


def start(arguments: argparse.Namespace) -> None:
    """Start a cluster; stops what it started if a part of it does not come up."""
    if any(map(is_running, read_state(arguments.folder).get("processes", {}).values())):
        raise ClusterError(f"A cluster of {arguments.folder} runs already. Stop it first.")
    find_java()
    spark = find_spark()
    for port in (arguments.master_port, arguments.thrift_port):
        if is_open(port):
            raise ClusterError(
                f"Port {port} is taken. Choose another one with --master-port or --thrift-port."
            )
    try:
        Starter(arguments, spark).start()
    except BaseException:
        print()
        stop(arguments)
        raise
    port = "" if arguments.thrift_port == 10001 else f"OTT_SPARK_PORT={arguments.thrift_port} "
    print(f"Build with: {port}.venv/spark/bin/dbt build --target spark_thrift")


def stop(arguments: argparse.Namespace) -> None:
    """Stop all processes that `start` started, the last one first."""
    processes = read_state(arguments.folder).get("processes", {})
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
            raise ClusterError(f"The {name} (process {process['pid']}) does not end.")
    (arguments.folder / STATE).unlink(missing_ok=True)
    print("The cluster is stopped." if processes else "There is no cluster to stop.")


def status(arguments: argparse.Namespace) -> None:
    """Say which processes run; raises ClusterError unless all do."""
    state = read_state(arguments.folder)
    if not state:
        raise ClusterError("There is no cluster.")
    missing = []
    for name, process in state["processes"].items():
        running = is_running(process)
        print(f"{name:15} {'runs' if running else 'has ended'}, process {process['pid']}")
        if not running:
            missing.append(name)
    if missing:
        raise ClusterError(f"See the logs in {arguments.folder}, stop the cluster, and start it.")
    print(f"Thrift server at {HOST}:{state['thrift_port']}")


def main() -> int:
    """Run the command line; the exit code is 1 when something is wrong."""
    parser = argparse.ArgumentParser(
        description="\n".join(__doc__.splitlines()[:5]),
        epilog=HELP_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder",
        type=lambda text: Path(text).resolve(),
        default=PROJECT / "target" / "spark-cluster",
        help="where process ids and logs are kept (default: target/spark-cluster)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    starting = commands.add_parser("start", help="start a cluster and wait until it answers")
    starting.add_argument("--workers", type=int, default=2, help="number of workers (default: 2)")
    starting.add_argument("--cores", type=int, default=1, help="cores a worker (default: 1)")
    starting.add_argument(
        "--memory",
        default="2g",
        help="of each worker and the Thrift server (default: 2g)",
    )
    starting.add_argument("--master-port", type=int, default=7077, help="default: 7077")
    starting.add_argument("--thrift-port", type=int, default=10001, help="default: 10001")
    starting.add_argument(
        "--warehouse",
        type=lambda text: Path(text).resolve(),
        default=(PROJECT / (os.environ.get("OTT_SPARK_WAREHOUSE") or "spark-warehouse")).resolve(),
        help="folder of the tables (default: OTT_SPARK_WAREHOUSE, or spark-warehouse)",
    )
    starting.add_argument(
        "--timeout", type=int, default=120, help="seconds to wait for each process (default: 120)"
    )
    commands.add_parser("status", help="say what runs")
    commands.add_parser("stop", help="stop all that `start` started")
    arguments = parser.parse_args()
    try:
        {"start": start, "status": status, "stop": stop}[arguments.command](arguments)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
