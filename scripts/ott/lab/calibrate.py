"""Show on synthetic data sets whether the statistics of the findings keep what they promise.

Runs the project's own models, as dbt compiles them, on data sets whose truth is known.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from graphlib import TopologicalSorter
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from statsmodels.stats.proportion import proportion_confint
from tqdm import tqdm

from ott import PROJECT, OttError
from ott.lab import DBT, environment_without_settings, markdown_table
from ott.lab.worlds import AS_OF, TREND, WORLDS, Outcome, Verdict, World
from ott.registry import COLUMNS, registry

LEVEL = 0.95
BASELINE_RUNS = 20

RAW_EVENTS = "raw_compliance_events"
ACCEPTED_EVENTS = "int_checked_events"
_BANDS = "".join(
    f" when {f'user_age < {below}' if (below := band['below']) else 'user_age is not null'}"
    f" then '{band['age_band']}'"
    for band in registry("age_bands")
)
# What int_checked_events stores of an event.
ACCEPTED_COLUMNS = f"""
    * exclude (timestamp), "timestamp" as occurred_at, cast("timestamp" as date) as source_date,
    source_date as event_date, status = 'violation' as is_violation,
    hour(occurred_at) as event_hour, dayname(event_date) as weekday, case{_BANDS} end as age_band
"""
TARGETS = (
    *("violation_associations", "compliance_by_member", "violation_trend"),
    *("violation_control_chart", "dim_users"),
)
# Tiers are made from the very violations; few events are judged by no interval.
COVERED = """
    select
        coalesce(dimension, 'all'),
        count(*) filter (where {rate} between {outcome}_rate_low and {outcome}_rate_high),
        count(*)
    from {{compliance_by_member}}
    where dimension <> 'risk_tier' and events * {rate} >= 5
    group by grouping sets ((dimension), ())
"""
DAYS = """
    select count(*) filter (where is_out_of_control), count(is_out_of_control)
    from {violation_control_chart}
"""

# --- the project's models ------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A model as dbt compiled it, or a seed, which has no SQL; `parents` are what it reads."""

    name: str
    relation: str
    sql: str | None
    is_view: bool
    parents: set[str]


@dataclass(frozen=True)
class CompiledProject:
    """Seeds and models in an order in which they can run, and the database with the seeds."""

    database: Path
    models: list[Model]


def compile_project(
    folder: Path, project: Path = PROJECT, targets: Iterable[str] = TARGETS, settings: str = "{}"
) -> CompiledProject:
    """Let dbt compile everything that the `targets` hang on, with all that it writes in `folder`.

    `settings` are variables of the project as dbt takes them. Raises OttError with the output of
    dbt if dbt fails.
    """
    database = folder / "calibration.duckdb"
    selected = [f"+{name}" for name in targets]
    _dbt(project, folder, database, "seed", "--exclude", RAW_EVENTS, "--vars", settings)
    _dbt(project, folder, database, "compile", "--select", *selected, "--vars", settings)
    nodes = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    parents = {
        key: node["depends_on"].get("nodes", [])
        for key, node in nodes.items()
        if node["resource_type"] == "seed"
        or (node["resource_type"] == "model" and node.get("compiled_code"))
    }
    models = []
    for key in TopologicalSorter(parents).static_order():
        node, reads = nodes[key], {nodes[parent]["name"] for parent in parents[key]}
        sql, is_view = node.get("compiled_code"), node["config"]["materialized"] == "view"
        models.append(Model(node["name"], node["relation_name"], sql, is_view, reads))
    return CompiledProject(database, models)


def _dbt(project: Path, folder: Path, database: Path, *arguments: str) -> None:
    paths = ["--target-path", folder / "target", "--log-path", folder / "logs"]
    result = subprocess.run(
        [DBT, "--no-use-colors", *arguments, *paths],
        cwd=project,
        env={**environment_without_settings(), "OTT_DATABASE_PATH": str(database)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if result.returncode != 0:
        raise OttError(f"dbt {arguments[0]} failed:\n{result.stdout}")


class Bench:
    """A database in memory in which the models run on one data set after the other.

    Their tables are refilled by prepared statements: planning the models takes longer than running
    them.
    """

    def __init__(self, project: CompiledProject) -> None:
        """Create the schemas, copy the seeds other than the raw events, and create empty models."""
        self.models = {model.name: model for model in project.models if model.sql}
        self.relations = {model.name: model.relation for model in project.models}
        self.prepared: set[str] = set()
        self.connection = duckdb.connect(config={"threads": 1})
        execute = self.connection.execute
        # A plan outlives the data set that it was made for, so it may not rely on its statistics.
        execute("set disabled_optimizers = 'statistics_propagation,compressed_materialization'")
        execute("set TimeZone = 'UTC'")
        execute(f"attach '{project.database}' as built (read_only)")
        catalog = self.relations[RAW_EVENTS].split(".")[0]
        execute(f"attach ':memory:' as {catalog}")
        for name, relation in self.relations.items():
            execute(f"create schema if not exists {relation.rpartition('.')[0]}")
            if name != RAW_EVENTS and name not in self.models:
                execute(f"create table {relation} as from {relation.replace(catalog, 'built', 1)}")
        execute("detach built")
        columns = ", ".join(f"{name} varchar" for name in COLUMNS)
        execute(f"create table {self.relations[RAW_EVENTS]} ({columns})")
        for model in self.models.values():
            kind = "view" if model.is_view else "table"
            execute(f"create {kind} {model.relation} as {model.sql}")

    def load(self, events: pa.Table, *, accepted: bool = False) -> None:
        """Replace the raw events by a table of text, and run all models that read them.

        Or the accepted ones by a typed table: judging text takes longer than all the rest.
        """
        name, columns = (ACCEPTED_EVENTS, ACCEPTED_COLUMNS) if accepted else (RAW_EVENTS, "*")
        self.replace(name, f"select {columns} from events", events=events)

    def replace(self, name: str, query: str, **tables: pa.Table) -> None:
        """Replace the rows of a seed or a model by those of a query, and run all that read it.

        The query names models in braces, and tables by the names that they are given by.
        """
        execute = self.connection.execute
        for table, rows in tables.items():
            self.connection.register(table, rows)
        execute(f"delete from {self.relations[name]}")
        self.rows(f"insert into {self.relations[name]} by name {query}")
        changed = {name}
        for model in self.models.values():
            if not changed & model.parents:
                continue
            changed.add(model.name)
            if model.is_view:
                continue
            execute(f"delete from {model.relation}")
            if model.name not in self.prepared:  # with what it reads at hand, for a good plan
                execute(f"prepare {model.name} as insert into {model.relation} {model.sql}")
                self.prepared.add(model.name)
            execute(f"execute {model.name}")

    def rows(self, query: str) -> list[tuple]:
        """Return the rows of a query that names models in braces, as in `from {dim_users}`."""
        return self.connection.execute(query.format_map(self.relations)).fetchall()

    def table(self, name: str) -> list[dict]:
        """Return the rows of a model by the names of its columns."""
        found = self.connection.execute(f"from {self.relations[name]}")
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


# --- data sets -----------------------------------------------------------------------------------


def seed_of(seed: int, purpose: str, run: int) -> int:
    """Return a seed that hangs on nothing but the arguments."""
    sequence = np.random.SeedSequence([seed, *purpose.encode(), run])
    return int(sequence.generate_state(1)[0])


def _start_worker(project: CompiledProject) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the workers
    global _bench
    _bench = Bench(project)


def measure(name: str, seed: int, events: int | None = None, difference: float = 0.0) -> Outcome:
    """Run the models on a data set of a world, as often as somebody looks, and read what they say.

    It has as many events as the world says, if no other number is given.
    """
    world, seen = WORLDS[name], []
    table = world.draw(seed, events or world.events, difference)
    for day in world.looks or [world.days]:
        end = pa.scalar(AS_OF - timedelta(days=world.days - day), pa.timestamp("us"))
        is_seen = pc.less(table["timestamp"], end)
        _bench.load(table.filter(is_seen) if day < world.days else table, accepted=True)
        seen.append(read_outcome(_bench, world))
    has_confirmed_users = any(one.has_confirmed_users for one in seen)
    verdicts = set().union(*(one.verdicts for one in seen))
    return replace(seen[-1], verdicts=verdicts, has_confirmed_users=has_confirmed_users)


def read_outcome(bench: Bench, world: World) -> Outcome:
    """Return what the marts say; columns that a project may lack are read by `get`."""
    members = bench.table("compliance_by_member")
    [trend] = bench.table("violation_trend")
    trend |= {"dimension": "trend", "rate_difference": trend["change_per_week"]}
    trend["detectable_difference"] = trend["detectable_change"]
    wholes = [{**row, "member": ""} for row in (*bench.table("violation_associations"), trend)]
    claims = [row for row in members if row["verdict"] in ("differs", "explained_by_mix")]
    warnings = [
        {**row, "verdict": "differs in warnings"}
        for row in members
        if row.get("warning_verdict") == "differs"
    ]
    [detectable] = [
        row.get("detectable_difference")
        for row in (*wholes, *members)
        if (row["dimension"], row["member"]) == (world.planted or TREND)
    ]
    [days] = bench.rows(DAYS)
    covered = {
        (outcome, dimension): (hits, cases)
        for outcome, rate in world.rates().items()
        if f"{outcome}_rate_low" in members[0]
        for dimension, hits, cases in bench.rows(COVERED.format(outcome=outcome, rate=rate))
    }
    return Outcome(
        verdicts={
            Verdict(
                *(row["dimension"], row["member"], row["verdict"], row.get("rate_difference")),
                row.get("differs_without_unusual_days") is not False,
            )
            for row in (*wholes, *claims, *warnings)
        },
        covered=covered,
        detectable=detectable,
        days=days,
        has_confirmed_users=("confirmed",) in bench.rows("select risk_evidence from {dim_users}"),
    )


# --- what many of them show ----------------------------------------------------------------------


def share_of(
    counts: Iterable[bool | tuple[int, int]], least: float | None = None, most: float | None = None
) -> dict | None:
    """Return the share of hits among cases, counted over runs that are a hit or have some of each.

    None if there are no cases. The interval is that of Wilson; cases of one run count as far as
    they vary independently (by the variance between runs over the binomial one). The range
    `is_met`: `yes`, `no`, or `open` if the share misses the range but its interval does not.
    """
    runs = [count if isinstance(count, tuple) else (int(count), 1) for count in counts]
    hits, cases = map(sum, zip(*runs, strict=True))
    if cases == 0:
        return None
    share = hits / cases
    between = sum((run_hits - run_cases * share) ** 2 for run_hits, run_cases in runs)
    binomial = cases * share * (1 - share)
    independent = cases / max(1.0, between / binomial if binomial else 1.0)
    low, high = proportion_confint(share * independent, independent, 1 - LEVEL, method="wilson")
    # Rounding can put a share of 0 or 1 outside.
    low, high = min(float(low), share), max(float(high), share)
    floor, ceiling = least or 0.0, 1.0 if most is None else most
    ends = (("at least", least), ("at most", most))
    requirement = ", ".join(f"{word} {end:.0%}" for word, end in ends if end is not None)
    if not requirement:
        is_met = ""
    elif floor <= share <= ceiling:
        is_met = "yes"
    else:
        is_met = "open" if low <= ceiling and high >= floor else "no"
    found = {"hits": hits, "cases": cases, "share": share, "low": low, "high": high}
    limits = {"least": least, "most": most, "requirement": requirement, "is_met": is_met}
    return found | limits


def dimensions_of(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return for each dimension how many runs judge it and find that it differs.

    And of its members' intervals, how many there are and how many cover the true rate.
    """
    rows = []
    for name in sorted(set().union(*(one.judged | one.differ() for one in outcomes))):
        pairs = [one.covered.get(("violation", name), (0, 0)) for one in outcomes]
        covered, members = map(sum, zip(*pairs, strict=True))
        row = {"dimension": name, "runs": len(outcomes), "covered": covered, "members": members}
        row["judged"] = sum(name in one.judged for one in outcomes)
        row["differs"] = sum(name in one.differ() for one in outcomes)
        rows.append(row)
    return rows


def calibrate(
    names: Sequence[str],
    *,
    runs: int,
    events: int | None,
    seed: int,
    workers: int,
    project: Path = PROJECT,
    settings: str = "{}",
) -> dict:
    """Return what the worlds show, ready to be written as JSON.

    The result hangs on everything but `workers`. Raises OttError if dbt fails.
    """
    runs_of = {name: max(1, runs // WORLDS[name].cost) for name in names}
    searched = [name for name in names if WORLDS[name].planted and not WORLDS[name].difference]
    total = sum(runs_of.values()) + BASELINE_RUNS * len(searched)
    with (
        tempfile.TemporaryDirectory(prefix="calibrate-") as folder,
        tqdm(total=total, unit=" data sets", disable=None) as bar,
        ExitStack() as stack,
    ):
        initial = (compile_project(Path(folder), project, settings=settings),)
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, initial)
        stack.callback(pool.shutdown, cancel_futures=True)

        def measured(purpose: str, number: int, difference: float) -> Iterator[Outcome]:
            seeds = [seed_of(seed, purpose, run) for run in range(number)]
            arguments = repeat(name), seeds, repeat(events), repeat(difference)
            for one in pool.map(measure, *arguments):
                bar.update()
                yield one

        differences, outcomes = {}, {}
        for name in names:
            difference = WORLDS[name].difference or 0.0
            if name in searched:
                baseline = [one.detectable for one in measured(f"{name} null", BASELINE_RUNS, 0.0)]
                if None in baseline:
                    raise OttError(f"{name}: no difference is detectable in so few events.")
                difference = differences[name] = median(baseline)
            outcomes[name] = [*measured(name, runs_of[name], difference)]
    arguments = {"scenarios": list(names), "runs": runs, "events": events, "seed": seed}
    return {
        "arguments": {**arguments, "vars": settings},
        "planted_differences": differences,
        "shares": [
            {"scenario": name, "statistic": promise.statistic, **share}
            for name in names
            for promise in WORLDS[name].promises
            if (share := share_of(map(promise.count, outcomes[name]), promise.least, promise.most))
        ],
        "dimensions": {name: dimensions_of(outcomes[name]) for name in names},
    }


def as_markdown(result: dict) -> str:
    """Return the result as two Markdown tables."""
    planted = {
        name: f" (+{100 * difference:.2f} percentage points"
        + (" a week)" if WORLDS[name].planted == TREND else ")")
        for name, difference in result["planted_differences"].items()
    }
    shares = [
        (
            *(share["scenario"], share["statistic"] + planted.get(share["scenario"], "")),
            *(f"{share['share']:.2%}", f"{share['low']:.2%} to {share['high']:.2%}"),
            *(f"{share['cases']:,}", share["requirement"], share["is_met"]),
        )
        for share in result["shares"]
    ]
    dimensions = [
        (
            *(name, row["dimension"]),
            *(f"{row[what] / row['runs']:.1%}" for what in ("judged", "differs")),
            f"{row['covered'] / row['members']:.1%}" if row["members"] else "",
        )
        for name, rows in result["dimensions"].items()
        for row in rows
    ]
    header = ("Scenario", "What", "Share", f"{100 * LEVEL:.0f} % interval", "Of", "Required", "Met")
    others = ("Scenario", "Dimension", "Judged", "Differs", "Covered")
    return f"{markdown_table(header, shares)}\n\n{markdown_table(others, dimensions)}"
