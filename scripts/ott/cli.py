"""The command `ott`: what its commands take, what they call, and what it says when that fails.

Modules that take long to import are imported by the commands that need them.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click import Choice, IntRange

from ott import PROJECT, OttError, WrongArgumentsError
from ott.build import build as build_all
from ott.files import encoding_problem
from ott.lab import spark_cluster

CORES = os.cpu_count() or 1
EXIT_CODES = """\
exit code:
  0 when it is done; 1 when it is not, and a sentence says why; 2 for arguments that
  make no sense; 130 after Ctrl-C, which leaves nothing half done.
"""


class Command(click.Command):
    """A command; its options of several values take them one after the other: `--sizes 1M 10M`.

    Its help ends with its epilog, written as it is, and with the exit codes. The epilog may be a
    function, where writing it takes modules that the command alone needs.
    """

    epilog: str | Callable[[], str] | None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the end of the help."""
        own = self.epilog() if callable(self.epilog) else self.epilog
        for text in filter(None, (own, EXIT_CODES)):
            formatter.write(f"\n{text}")

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


class Group(Command, click.Group):
    """Commands under one name, in the order in which they stand here."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return [*self.commands]


def option(said: str, kind: Any = str, default: Any = None, **rest: Any) -> Callable:
    """Return an option of click's from what the help says of it: `--events N  number of rows`.

    `N...` takes several values. The help ends with the default, if it does not say so itself.
    """
    declared, _, help = said.partition("  ")
    name, _, metavar = declared.partition(" ")
    if default is not None and "(default: " not in help:
        shown = default.relative_to(PROJECT) if isinstance(default, Path) else default
        help = f"{help} (default: {shown})"
    rest["multiple"] = metavar.endswith("...")
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
    return lambda text: Choice([*names()]).convert(text, None, None)


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


def listed(texts: dict[str, str]) -> str:
    """Return names and what they stand for as a part of a help."""
    width = max(map(len, texts))
    return "\n".join(f"  {name:{width}}  {text}" for name, text in texts.items())


TARGET = PROJECT / "target"
COUNT = IntRange(1, 10**12)
PATH = click.Path(path_type=Path)
ABSOLUTE_PATH = click.Path(resolve_path=True, path_type=Path)
SEED = option(
    "--seed S  another seed, other events; the same seed, the same events",
    IntRange(0, 2**32 - 1),
    42,
)
RELEASE = option(
    "--release PATH  a release: the DuckDB file, the folder that holds it, or the folder of all "
    "releases, of which the current one is taken (default: $OTT_RELEASE_PATH or else release)",
    PATH,
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
    return build_all(dbt_options)


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


@ott.command(
    "check-source",
    epilog="""\
examples:
  ott check-source
  ott check-source 'data/**/*.parquet'
  ott check-source data/events.csv --vars '{events_preset: segment}'
  ott check-source --deep
""",
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@option("--vars YAML  settings beside those of dbt_project.yml, as for dbt", default="{}")
@option(
    "--deep  look for files that changed since they were built, by reading all of them",
    is_flag=True,
)
def check_source_(paths: tuple[str, ...], vars: str, deep: bool) -> None:
    """Look at a source of events and propose settings.

    Before anything is built, it reads the first rows of the files, or of what the var events_source
    names: what each column is read from and how much of it can be read, which settings are missing,
    and which rows would be quarantined and why. Nothing is written. Values are shown as `9` for
    digits, `a` for letters.

    A build reads files again when their size or time changes; with --deep, it is told which files
    hold other rows although neither has.
    """
    import yaml

    from ott.check_source import check_source, unseen_changes

    try:
        settings = yaml.safe_load(vars)
    except yaml.YAMLError:
        settings = None
    if not isinstance(settings, dict):
        raise WrongArgumentsError("--vars takes a mapping, such as '{events_preset: segment}'.")
    for line in unseen_changes(settings) if deep else check_source(settings, paths):
        click.echo(line)


@ott.command("check-encoding")
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
def check_encoding(files: tuple[Path, ...]) -> None:
    """Check that CSV files are UTF-8, before dbt reads them.

    It says which file is not, in which line, and what to do.
    """
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
    "--scenario  what to generate, see below",
    Choice(["notebook", "realistic", "null", "dirty"]),
    "notebook",
)
@option("--events N  number of rows", IntRange(0, 10**12), 5000)
@SEED
@option(
    "--as-of TIME  the time that counts as now, 'YYYY-MM-DD HH:MM:SS' in UTC",
    click.DateTime(["%Y-%m-%d %H:%M:%S"]),
    "2026-01-31 00:00:00",
)
@option(
    "--output PATH  the file to write or replace, in a folder that exists (default: "
    "seeds/raw_compliance_events.csv in the project)",
    PATH,
    PROJECT / "seeds" / "raw_compliance_events.csv",
)
@option(
    "--format  of the file (default: what the output's suffix says, csv if it has none)",
    Choice(["csv", "parquet"]),
)
@option("--users N  realistic, null: number of users (default: events // 25, at least 1)", COUNT)
@option(
    "--days D  realistic, null: length of the window that ends at --as-of (default: 30)",
    IntRange(1, 10_000),
)
@option(
    "--user-effect-sd X  realistic, null: standard deviation of the users' own effects on the "
    "log odds of a violation (default: 0.5 for realistic, 0 for null)",
    number(0, 10),
)
@option(
    "--defect-rate R  dirty: share of the rows that are touched, 0 to 1 (default: 0.05)",
    number(0, 1),
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


@ott.group(epilog=RELEASE_FOLDER)
def releases() -> None:
    """List, verify and roll back releases.

    They are complete, checked, read-only copies of the tables, and what clients connect to.
    """


@releases.command("list")
def list_releases() -> None:
    """List the releases, last one first; * is the one served."""
    from ott.releases import describe_releases, release_folder

    for line in describe_releases(release_folder()):
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
@option("--output FILE  HTML file to write", PATH, TARGET / "compliance_report.html")
@option(
    "--with-users  show single users with their ids and ages, which are personal data "
    "(default: none)",
    bool,
    is_flag=True,
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
@option("--output FILE  where to write the bundle", PATH, TARGET / "superset_dashboard.zip")
@option(
    "--database-path PATH  absolute path of the published file as the Superset server sees it; "
    "go through `current`, so that Superset follows new releases (default: "
    "current/ott_compliance.duckdb in the folder of the releases)",
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
@option("--dsn DSN  connection string or URI of the database")
@option("--schema  schema to write", str, "marts")
@option("--release NAME  release to copy (default: the one that is served)")
@option("--wait SECONDS  how long to wait for readers of the old tables to finish", float, 300)
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


def _scenarios() -> dict[str, str]:
    from ott.lab.worlds import WORLDS

    return {name: world.description for name, world in WORLDS.items()}


def _calibrate_epilog() -> str:
    from ott.lab.calibrate import BASELINE_RUNS
    from ott.lab.worlds import POWER

    return f"""\
scenarios:
{listed(_scenarios())}

  A planted difference is the median of what {BASELINE_RUNS} data sets without it call
  detectable with {POWER:.0%} power.

examples:
  ott calibrate --runs 100
  ott calibrate --scenarios null notebook --runs 2000 --output shares.json
"""


@ott.command(epilog=_calibrate_epilog)
@option(
    "--runs N  data sets per scenario, fewer of those that take long (default: 200, about half an "
    "hour on two cores)",
    IntRange(1, 1_000_000),
    200,
)
@SEED
@option(
    "--events N  events per data set (default: those of the scenario)", IntRange(100, 10_000_000)
)
@option(
    "--scenarios NAME...  which scenarios to run, see below (default: all)", name_from(_scenarios)
)
@option(
    "--project PATH  the project whose models run (default: this one)",
    click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    PROJECT,
)
@option("--vars YAML  settings beside those of dbt_project.yml, as for dbt", default="{}")
@option(
    f"--workers N  processes that run the models (default: one per core, here {CORES})",
    IntRange(1, 256),
    CORES,
)
@option(
    "--output PATH  a JSON file to write the shares to, in a folder that exists",
    click.Path(dir_okay=False, path_type=Path),
)
def calibrate(
    scenarios: tuple[str, ...], output: Path | None, project: Path, vars: str, **sizes: Any
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
    from ott.lab import calibrate

    if output and not output.resolve().parent.is_dir():
        raise WrongArgumentsError(
            f"folder {output.resolve().parent} does not exist: create it first"
        )
    started = time.monotonic()
    names = list(dict.fromkeys(scenarios or calibrate.WORLDS))
    result = calibrate.calibrate(names, **sizes, project=project, settings=vars)
    if output:
        output.write_text(f"{json.dumps(result, indent=2)}\n", encoding="utf-8")
    print(calibrate.as_markdown(result))
    print(f"\nTook {(time.monotonic() - started) / 60:.1f} minutes.")


def _engines() -> dict[str, str]:
    from ott.lab.benchmark.engines import ENGINES

    return {name: text.replace("`", "") for name, text in ENGINES.items()}


@ott.command(
    epilog=lambda: (
        f"""\
engines:
{listed(_engines())}

examples:
  ott benchmark --sizes 20k --repeat 1
  ott benchmark --sizes 1M 10M --repeat 3
  ott benchmark --sizes 100M --engines dbt --repeat 1 --memory-limit 4GB
"""
    )
)
@option(
    "--sizes N...  numbers of events, such as 20k or 100M (default: 1M 10M)", size, ["1M", "10M"]
)
@option(
    "--engines NAME...  what to measure, see below (default: all but spark)", name_from(_engines)
)
@option("--repeat N  rounds", IntRange(1, 100), 3)
@option("--days D  days of events before the one that is added", IntRange(8, 3650), 90)
@SEED
@option(
    "--memory-limit SIZE  DuckDB's memory limit in (a), (b) and (c), such as 4GB (default: "
    "DuckDB's own)",
    memory,
)
@click.option(
    "--no-row-level-release",
    is_flag=True,
    help="leave the tables with a row an event or a user out of the releases",
)
@option(
    "--spark-dbt PATH  dbt of an environment with dbt-spark, for the engine spark; "
    "$OTT_SPARK_MEMORY sets the memory of Spark (default: $OTT_BENCHMARK_SPARK_DBT)",
    envvar="OTT_BENCHMARK_SPARK_DBT",
)
@option("--output FOLDER  what to write into", ABSOLUTE_PATH, TARGET / "benchmark")
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

    chosen = dict.fromkeys(engines or [name for name in _engines() if name != "spark"])
    return 0 if run.benchmark(sizes=sorted(set(sizes)), engines=[*chosen], **rest) else 1


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
    "--folder PATH  where process ids and logs are kept", ABSOLUTE_PATH, TARGET / "spark-cluster"
)
@click.pass_context
def cluster(context: click.Context, folder: Path) -> None:
    """Start, show and stop a small Spark cluster.

    It has a master, workers and a Thrift server on this machine. All of it comes with the pyspark
    package of `make spark`, listens on 127.0.0.1 only, and works as a cluster of many machines
    does.
    """
    context.obj = folder


@cluster.command()
@option("--workers N  number of workers", IntRange(1), 2)
@option("--cores N  cores a worker", IntRange(1), 1)
@option("--memory SIZE  of each worker and the Thrift server", str, "2g")
@option("--master-port PORT  of the master", IntRange(1, 65535), 7077)
@option("--thrift-port PORT  of the Thrift server", IntRange(1, 65535), 10001)
@option(
    "--warehouse PATH  folder of the tables (default: OTT_SPARK_WAREHOUSE, or spark-warehouse)",
    ABSOLUTE_PATH,
    PROJECT / (os.environ.get("OTT_SPARK_WAREHOUSE") or "spark-warehouse"),
)
@option("--timeout SECONDS  how long to wait for each process", int, 120)
@click.pass_obj
def start(folder: Path, **options: Any) -> None:
    """Start a cluster and wait until it answers."""
    spark_cluster.start(spark_cluster.Settings(folder, **options))


cluster.command(help="Say what runs.")(click.pass_obj(spark_cluster.status))
cluster.command(help="Stop all that `start` started.")(click.pass_obj(spark_cluster.stop))


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
