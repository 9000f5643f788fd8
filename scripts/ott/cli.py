"""The command `ott`: what its commands take, what they call, and what it says when that fails.

Modules that take long to import are imported by the commands that need them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from ott import PROJECT, OttError, WrongArgumentsError

CORES = os.cpu_count() or 1
EXIT_CODES = """\
exit code:
  0 when it is done; 1 when it is not, and a sentence says why; 2 for arguments that
  make no sense; 130 after Ctrl-C, which leaves nothing half done.
"""


class Help:
    """Ends a command's help with its epilog, written as it is, and with the exit codes.

    The epilog may be a function, where writing it takes modules that the command alone needs.
    """

    epilog: str | Callable[[], str] | None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the end of the help."""
        own = self.epilog() if callable(self.epilog) else self.epilog
        for text in filter(None, (own, EXIT_CODES)):
            formatter.write(f"\n{text}")


class Command(Help, click.Command):
    """A command; its options of several values take them one after the other: `--sizes 1M 10M`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat such an option before each of its values, as click wants it."""
        listing = {name for option in self.params if option.multiple for name in option.opts}
        words: list[str] = []
        option = None
        for word in args:
            if word.startswith("-"):
                option = word if word in listing else None
            elif option and words[-1] != option:
                words.append(option)
            words.append(word)
        return super().parse_args(ctx, words)


class Group(Help, click.Group):
    """Commands under one name."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names in the order in which they stand here."""
        return [*self.commands]


def option(
    name: str, kind: Any, default: Any, help: str, shown: str | None = None, **rest: Any
) -> Callable:
    """Return an option of click's; `name` has its metavar behind it, as in `--events N`.

    The help ends with the default, `shown` in place of a value that says less; None is not shown.
    """
    name, _, metavar = name.partition(" ")
    if shown or default is not None:
        help = f"{help} (default: {shown or default})"
    return click.option(
        name, type=kind, default=default, metavar=metavar or None, help=help, **rest
    )


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a type of numbers between two ends; NaN is none, though no comparison says so."""

    def convert(text: str) -> float:
        value = click.FloatRange(least, most).convert(text, None, None)
        if value != value:
            raise click.BadParameter(f"{text!r} is no number.")
        return value

    return convert


def name_from(names: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """Return a type of the names that a function returns, which may import what knows them."""
    return lambda text: click.Choice([*names()]).convert(text, None, None)


def size(text: str) -> int:
    """Return a number of events, such as 20k or 10M."""
    found = re.fullmatch(r"(\d+)([km]?)", text.lower())
    events = int(found[1]) * {"": 1, "k": 1000, "m": 1_000_000}[found[2]] if found else 0
    if not 5000 <= events <= 10**10:
        raise click.BadParameter(
            f"give a number of events from 5,000 on, such as 20k or 10M, not {text!r}"
        )
    return events


def memory(text: str) -> str:
    """Return an amount of memory as DuckDB takes it."""
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", text):
        raise click.BadParameter(f"give an amount such as 4GB, not {text!r}")
    return text


PATH = click.Path(path_type=Path)
ABSOLUTE_PATH = click.Path(resolve_path=True, path_type=Path)
SEED = option(
    "--seed S",
    click.IntRange(0, 2**32 - 1),
    42,
    "another seed, other events; the same seed, the same events",
)
RELEASE = option(
    "--release PATH",
    PATH,
    None,
    "a release: the DuckDB file, the folder that holds it, or the folder of all releases, of which "
    "the current one is taken",
    "$OTT_RELEASE_PATH or else release",
)
RELEASE_FOLDER = """\
environment:
  OTT_RELEASE_PATH  the folder of the releases (default: release in the project)
"""


@click.group(
    cls=Group, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]}
)
def ott() -> None:
    """Everything that this project does around its SQL; `ott COMMAND --help` says more."""


# --- the tables ----------------------------------------------------------------------------------


@ott.command(
    epilog="""\
examples:
  ott build
  ott build --full-refresh
""",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("dbt_options", nargs=-1, type=click.UNPROCESSED)
def build(dbt_options: tuple[str, ...]) -> int:
    """Build and check all tables, and publish a release.

    This is `dbt build` without the unit tests, which check the code and not the data; it takes the
    options of `dbt build`. The last lines say what was found and what to look at next.
    """
    from ott import build

    return build.build(dbt_options)


@ott.command(
    epilog="""\
examples:
  ott query
  ott query "select region, violation_rate, verdict from compliance_by_region"
  ott query --csv "from compliance_by_date" > days.csv
"""
)
@click.argument("sql", required=False)
@RELEASE
@click.option("--csv", "as_csv", is_flag=True, help="print comma-separated values")
def query(sql: str | None, release: Path | None, as_csv: bool) -> None:
    """Print the key findings, or the answer to a query.

    It comes from the release that is served. Nothing is cut: a table that is wider than the
    terminal is printed a value a line. The release is opened read-only.
    """
    from ott.query import answer
    from ott.releases import release_folder

    click.echo(answer(release or release_folder(), sql, as_csv))


@ott.command("check-encoding")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."
)
def check_encoding(files: tuple[Path, ...]) -> None:
    """Check that CSV files are UTF-8, before dbt reads them.

    It says which file is not, in which line, and what to do.
    """
    from ott.files import encoding_problem

    problems = [*filter(None, map(encoding_problem, files))]
    if problems:
        raise OttError("\n".join(problems))


@ott.command(
    epilog="""\
scenarios:
  notebook   the events of the notebook that this project grew from: every column
             independent of the others. At the default arguments, the committed seed.
  realistic  users with one age, region and regulation, sessions from login to
             stream end, daily and weekly traffic, and violations that follow known
             effects. Writes the effects to <output stem>.truth.json beside the output.
  null       like realistic, but nothing has an effect: 5 % violations everywhere.
             With --user-effect-sd the users differ, and only they.
  dirty      the notebook's events as text, with every defect that the staging layer
             must reject or tidy up. Writes to <output stem>.truth.json how many rows
             must be accepted, quarantined (by reason) and dropped.

examples:
  ott generate
  ott generate --scenario realistic --events 20000000 --output big.parquet
  ott generate --scenario null --user-effect-sd 0.5 --seed 7 --output null.csv
  ott generate --scenario dirty --defect-rate 0.2 --output dirty.csv
"""
)
@option(
    "--scenario",
    click.Choice(["notebook", "realistic", "null", "dirty"]),
    "notebook",
    "what to generate, see below",
)
@option("--events N", click.IntRange(0, 10**12), 5000, "number of rows")
@SEED
@option(
    "--as-of TIME",
    click.DateTime(["%Y-%m-%d %H:%M:%S"]),
    "2026-01-31 00:00:00",
    "the time that counts as now, 'YYYY-MM-DD HH:MM:SS' in UTC",
)
@option(
    "--output PATH",
    PATH,
    PROJECT / "seeds" / "raw_compliance_events.csv",
    "the file to write or replace, in a folder that exists",
    "seeds/raw_compliance_events.csv in the project",
)
@option(
    "--format",
    click.Choice(["csv", "parquet"]),
    None,
    "of the file",
    "what the output's suffix says, csv if it has none",
)
@option(
    "--users N",
    click.IntRange(1, 10**12),
    None,
    "realistic, null: number of users",
    "events // 25, at least 1",
)
@option(
    "--days D",
    click.IntRange(1, 10_000),
    None,
    "realistic, null: length of the window that ends at --as-of",
    "30",
)
@option(
    "--user-effect-sd X",
    number(0, 10),
    None,
    "realistic, null: standard deviation of the users' own effects on the log odds of a violation",
    "0.5 for realistic, 0 for null",
)
@option(
    "--defect-rate R",
    number(0, 1),
    None,
    "dirty: share of the rows that are touched, 0 to 1",
    "0.05",
)
def generate(**options: Any) -> None:
    """Generate synthetic events, as CSV or Parquet.

    They are compliance events of a streaming platform. The same arguments give the same rows, and
    with the same library versions the same bytes.
    """
    from ott.events import generator

    output, *truth = generator.generate(generator.Choice(**options))
    print(f"Wrote {options['events']:,} events to {output}")
    for path in truth:
        print(f"Wrote what is known about them to {path}")


# --- releases ------------------------------------------------------------------------------------


@ott.group(epilog=RELEASE_FOLDER)
def releases() -> None:
    """List, verify and roll back releases.

    They are complete, checked, read-only copies of the tables, and what clients connect to.
    """


@releases.command("list")
def list_releases() -> None:
    """List the releases, last one first; * is the one served."""
    from ott.releases import describe_releases, release_folder

    folder = release_folder()
    for line in describe_releases(folder):
        print(line)


@releases.command()
@click.argument("release", required=False)
def verify(release: str | None) -> None:
    """Hold a release against its manifest, by default the one served."""
    from ott.releases import find_release, release_folder, verify

    print(verify(find_release(release_folder(), release))["release"], "matches its manifest.")


@releases.command()
@click.argument("release", required=False)
def rollback(release: str | None) -> None:
    """Serve an earlier release again, by default the last one."""
    from ott.releases import release_folder, roll_back

    print("Now served:", roll_back(release_folder(), release).name)


# --- what is made of a release -------------------------------------------------------------------


@ott.command()
@RELEASE
@option(
    "--output FILE",
    PATH,
    PROJECT / "target" / "compliance_report.html",
    "HTML file to write",
    "target/compliance_report.html",
)
@click.option(
    "--with-users",
    is_flag=True,
    help="show single users with their ids and ages, which are personal data (default: none)",
)
def report(release: Path | None, output: Path, with_users: bool) -> None:
    """Write one HTML file that shows the published tables.

    It holds findings, charts, and a table behind each. It opens in any browser, without a network.
    Nothing in it is estimated anew: every number stands in the schema marts of the release.
    """
    from ott.exports.report.page import write_report
    from ott.releases import release_folder

    write_report(release or release_folder(), output, with_users)
    print(f"{output} ({output.stat().st_size / 1e6:.2f} MB)")


@ott.command(epilog=RELEASE_FOLDER)
@option(
    "--output FILE",
    PATH,
    PROJECT / "target" / "superset_dashboard.zip",
    "where to write the bundle",
    "target/superset_dashboard.zip",
)
@option(
    "--database-path PATH",
    str,
    None,
    "absolute path of the published file as the Superset server sees it; go through `current`, so "
    "that Superset follows new releases",
    "current/ott_compliance.duckdb in the folder of the releases",
)
def superset(output: Path, database_path: str | None) -> None:
    """Write a dashboard that Superset imports.

    It is a bundle over the published tables. The same release and arguments give the same bytes,
    and every object keeps its identifier, so that a later import updates what an earlier one made.
    """
    from ott.exports import superset

    charts = superset.write_dashboard(output, database_path)
    print(f"Wrote {charts} charts to {output}.")


@ott.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="""\
where to:
  Without --dsn the environment variables of every Postgres client decide: PGHOST, PGPORT,
  PGDATABASE, PGUSER, PGPASSWORD, PGSERVICE and so on, and ~/.pgpass. A password in --dsn can be
  seen by other users of this machine; better leave it to one of those.

what is kept:
  Types, null, NaN, infinities, and the comments on tables and columns. Grants on the old tables
  and their columns are those of the new tables; a table that the schema did not have starts with
  the default privileges there. Other tables in the schema stay as they are.

what is not:
  Postgres text cannot hold the character NUL; it arrives as U+FFFD. There are no keys, and indexes
  and triggers made on the old tables are gone. The copy refuses to go on where replacing the old
  tables would break a view that reads them, or lose row security.

rights:
  The user must own the schema and its tables, or, for a schema that is not there yet, have the
  right CREATE on the database.

examples:
  ott postgres --dsn postgresql://loader@db.example.com/analytics
  PGSERVICE=analytics ott postgres --schema compliance
""",
)
@option("--dsn DSN", str, None, "connection string or URI of the database")
@option("--schema", str, "marts", "schema to write")
@option("--release NAME", str, None, "release to copy", "the one that is served")
@option("--wait SECONDS", float, 300, "how long to wait for readers of the old tables to finish")
@click.pass_context
def postgres(
    context: click.Context, dsn: str | None, schema: str, release: str | None, wait: float
) -> None:
    """Copy a release into a Postgres schema.

    It does so whole or not at all, and takes the place of the release that was copied there before.
    """
    if context.args:
        # Not shown, as they may be a connection string, or the rest of one without quotes.
        raise WrongArgumentsError(
            f"{len(context.args)} unknown arguments; quote a connection string with blanks"
        )
    from ott.exports import postgres

    print(postgres.copy(dsn or "", schema, release, wait))


# --- the lab -------------------------------------------------------------------------------------


def _scenarios() -> Iterable[str]:
    from ott.lab.calibrate import SCENARIOS

    return SCENARIOS


def _calibrate_epilog() -> str:
    from ott.lab.calibrate import BASELINE_RUNS, POWER, SCENARIOS

    width = max(map(len, SCENARIOS))
    scenarios = "\n".join(
        f"  {name:{width}}  {scenario.description}" for name, scenario in SCENARIOS.items()
    )
    return f"""\
scenarios:
{scenarios}

  A planted difference is the median of what {BASELINE_RUNS} data sets without it call
  detectable with {POWER:.0%} power.

examples:
  ott calibrate --runs 100
  ott calibrate --scenarios null notebook --runs 2000 --output shares.json
"""


@ott.command(epilog=_calibrate_epilog)
@option(
    "--runs N",
    click.IntRange(1, 1_000_000),
    500,
    "data sets per scenario",
    "500, about 10 minutes on two cores",
)
@SEED
@option(
    "--events N",
    click.IntRange(100, 1_000_000),
    5000,
    "events per data set; the scenarios of days and the planted ones have 4 and the realistic 12 "
    "times as many",
)
@option(
    "--scenarios NAME...",
    name_from(_scenarios),
    None,
    "which scenarios to run, see below",
    "all",
    multiple=True,
)
@option(
    "--workers N",
    click.IntRange(1, 256),
    CORES,
    "processes that run the models",
    f"one per core, here {CORES}",
)
@option(
    "--output PATH",
    click.Path(dir_okay=False, path_type=Path),
    None,
    "a JSON file to write the shares to, in a folder that exists",
)
def calibrate(
    runs: int, seed: int, events: int, scenarios: tuple[str, ...], workers: int, output: Path | None
) -> None:
    """Show whether the statistics keep what they promise.

    That is, on synthetic data sets: how often the findings claim a difference where there is none,
    whether intervals cover the true rate, and whether a difference that they call detectable is
    found.

    dbt compiles the project once, in a temporary place; then its models run on every data set, in
    memory. Shares go to stdout as a Markdown table, each with its 95 % interval and what is
    required of it ("open": the share misses it, but its interval does not). The same arguments give
    the same shares, whatever the number of workers.
    """
    import json

    from ott.lab import calibrate

    if output and not output.resolve().parent.is_dir():
        raise WrongArgumentsError(
            f"folder {output.resolve().parent} does not exist: create it first"
        )
    started = time.monotonic()
    names = list(dict.fromkeys(scenarios or calibrate.SCENARIOS))
    result = calibrate.calibrate(names, runs, events, seed, workers)
    if output:
        output.write_text(f"{json.dumps(result, indent=2)}\n", encoding="utf-8")
    print(calibrate.as_markdown(result))
    print(f"\nTook {(time.monotonic() - started) / 60:.1f} minutes.")


def _engines() -> Iterable[str]:
    from ott.lab.benchmark.engines import ENGINES

    return ENGINES


def _benchmark_epilog() -> str:
    from ott.lab.benchmark.engines import ENGINES

    width = max(map(len, ENGINES))
    engines = "\n".join(
        f"  {name:{width}}  {text.replace('`', '')}" for name, text in ENGINES.items()
    )
    return f"""\
engines:
{engines}

examples:
  ott benchmark --sizes 20k --repeat 1
  ott benchmark --sizes 1M 10M --repeat 3
  ott benchmark --sizes 100M --engines dbt --repeat 1 --memory-limit 4GB
"""


@ott.command(epilog=_benchmark_epilog)
@option(
    "--sizes N...",
    size,
    ["1M", "10M"],
    "numbers of events, such as 20k or 100M",
    "1M 10M",
    multiple=True,
)
@option(
    "--engines NAME...",
    name_from(_engines),
    None,
    "what to measure, see below",
    "all but spark",
    multiple=True,
)
@option("--repeat N", click.IntRange(1, 100), 3, "rounds")
@option("--days D", click.IntRange(8, 3650), 90, "days of events before the one that is added")
@SEED
@option(
    "--memory-limit SIZE",
    memory,
    None,
    "DuckDB's memory limit in (a), (b) and (c), such as 4GB",
    "DuckDB's own",
)
@click.option(
    "--no-row-level-release",
    is_flag=True,
    help="leave the tables with a row an event or a user out of the releases",
)
@option(
    "--spark-dbt PATH",
    str,
    None,
    "dbt of an environment with dbt-spark, for the engine spark; $OTT_SPARK_MEMORY sets the memory "
    "of Spark",
    "$OTT_BENCHMARK_SPARK_DBT",
    envvar="OTT_BENCHMARK_SPARK_DBT",
)
@option(
    "--output FOLDER",
    ABSOLUTE_PATH,
    PROJECT / "target" / "benchmark",
    "what to write into",
    "target/benchmark",
)
def benchmark(sizes: tuple[int, ...], engines: tuple[str, ...], **rest: Any) -> int:
    """Measure against SQL by hand, pandas, polars and Spark.

    What is measured is wall time and peak memory of the whole process tree. All read the same
    Parquet files of realistic events, one a day, with a few defects. Each is a process of its own,
    and they alternate: a round runs all of them once. A round begins with next to no events, which
    shows what it costs to run at all; ratios are given with and without that, and publishing a
    release is shown apart.

    Writes benchmark.json (every run), benchmark.md (medians, ratios, goals) and the events into the
    folder --output; events of an earlier run with the same arguments are taken again. Ctrl-C ends
    everything and keeps what was measured.
    """
    from ott.lab.benchmark import run

    chosen = engines or [name for name in _engines() if name != "spark"]
    options = run.Options(sizes=sorted(set(sizes)), engines=list(dict.fromkeys(chosen)), **rest)
    return 0 if run.benchmark(options) else 1


@ott.group(
    "spark-cluster",
    epilog="""\
examples:
  ott spark-cluster start --workers 2 --memory 2g
  .venv/spark/bin/dbt build --target spark_thrift
  ott spark-cluster stop

Everybody who can log in to this machine can query the Thrift server: it asks for no password.
Tables stay in the warehouse (OTT_SPARK_WAREHOUSE) when the cluster stops. One process at a time can
use it: not the cluster and `dbt build --target spark` together.
""",
)
@option(
    "--folder PATH",
    ABSOLUTE_PATH,
    PROJECT / "target" / "spark-cluster",
    "where process ids and logs are kept",
    "target/spark-cluster",
)
@click.pass_context
def spark_cluster(context: click.Context, folder: Path) -> None:
    """Start, show and stop a small Spark cluster.

    It has a master, workers and a Thrift server on this machine. All of it comes with the pyspark
    package of `make spark`, listens on 127.0.0.1 only, and works as a cluster of many machines
    does.
    """
    context.obj = folder


@spark_cluster.command()
@option("--workers N", click.IntRange(1), 2, "number of workers")
@option("--cores N", click.IntRange(1), 1, "cores a worker")
@option("--memory SIZE", str, "2g", "of each worker and the Thrift server")
@option("--master-port PORT", click.IntRange(1, 65535), 7077, "of the master")
@option("--thrift-port PORT", click.IntRange(1, 65535), 10001, "of the Thrift server")
@option(
    "--warehouse PATH",
    ABSOLUTE_PATH,
    PROJECT / (os.environ.get("OTT_SPARK_WAREHOUSE") or "spark-warehouse"),
    "folder of the tables",
    "OTT_SPARK_WAREHOUSE, or spark-warehouse",
)
@option("--timeout SECONDS", int, 120, "how long to wait for each process")
@click.pass_obj
def start(folder: Path, **options: Any) -> None:
    """Start a cluster and wait until it answers."""
    from ott.lab import spark_cluster

    spark_cluster.start(spark_cluster.Settings(folder, **options))


@spark_cluster.command()
@click.pass_obj
def status(folder: Path) -> None:
    """Say what runs."""
    from ott.lab import spark_cluster

    spark_cluster.status(folder)


@spark_cluster.command()
@click.pass_obj
def stop(folder: Path) -> None:
    """Stop all that `start` started."""
    from ott.lab import spark_cluster

    spark_cluster.stop(folder)


# --- running a command ---------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default that of the process, and return its exit code.

    Whatever goes wrong that a user can mend is a sentence on stderr.
    """
    try:
        return ott.main(arguments, prog_name="ott", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "ott"
        click.echo(f"{command}: {error.format_message()}", err=True)
        return 2
    except WrongArgumentsError as error:
        click.echo(f"ott: {error}", err=True)
        return 2
    except (OttError, OSError) as error:
        click.echo(error, err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped; nothing is half done.", err=True)
        return 130
