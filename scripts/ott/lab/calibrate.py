"""Show on synthetic data sets whether the statistics of the findings keep what they promise.

Runs the project's own models, as dbt compiles them, on data sets whose truth is known.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from graphlib import TopologicalSorter
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.optimize import brentq
from statsmodels.stats.proportion import proportion_confint
from tqdm import tqdm

from ott import PROJECT, OttError
from ott.events import generator
from ott.events.generator import NULL_EFFECTS, REALISTIC_EFFECTS, Effects
from ott.lab import DBT, environment_without_settings

AS_OF = datetime(2026, 1, 31)  # as the project's variable latest_timestamp
DAYS = 30
EVENTS_PER_USER = 25
LEVEL = 0.95
POWER = 0.95

RAW_EVENTS = "raw_compliance_events"
# What the findings say; members are empty where a dimension as a whole is meant.
FINDINGS = """
    select dimension, '' as member, 0.0 as difference, verdict, null as detectable
    from {violation_associations}
    union all
    select dimension, member, rate_difference, verdict, detectable_difference
    from {violation_tests}
    union all
    select 'trend', '', change_per_week, verdict, detectable_change from {violation_trend}
    order by all
"""
TARGETS = (
    *("violation_associations", "violation_tests", "violation_trend"),
    *("violation_control_chart", "dim_users"),
)

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
    folder: Path, project: Path = PROJECT, targets: Iterable[str] = TARGETS
) -> CompiledProject:
    """Let dbt compile everything that the `targets` hang on, with all that it writes in `folder`.

    The variable `power` is set to `POWER`; it changes detectable differences and nothing else.
    Raises OttError with the output of dbt if dbt fails.
    """
    database = folder / "calibration.duckdb"
    _dbt(project, folder, database, "seed", "--exclude", RAW_EVENTS)
    _dbt(project, folder, database, "compile", "--select", *(f"+{name}" for name in targets))
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
        [DBT, "--no-use-colors", *arguments, *paths, "--vars", json.dumps({"power": POWER})],
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

    The first data set creates their tables, the others refill them by prepared statements:
    planning the models takes longer than running them.
    """

    def __init__(self, project: CompiledProject) -> None:
        """Create the schemas and copy the seeds other than the raw events."""
        self.models = {model.name: model for model in project.models if model.sql}
        self.relations = {model.name: model.relation for model in project.models}
        self.is_prepared = False
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

    def load(self, events: pa.Table) -> None:
        """Replace the raw events by a table of text and run all models."""
        execute, raw_events = self.connection.execute, self.relations[RAW_EVENTS]
        if self.is_prepared:
            execute(f"delete from {raw_events}")
            execute(f"insert into {raw_events} from events")
            self._refill(self.models.values())
            return
        execute(f"create table {raw_events} as from events")
        for name, model in self.models.items():
            execute(
                f"create {'view' if model.is_view else 'table'} {model.relation} as {model.sql}"
            )
            if not model.is_view:
                execute(f"prepare fill_{name} as insert into {model.relation} {model.sql}")
        self.is_prepared = True

    def _refill(self, models: Iterable[Model]) -> None:
        for model in models:
            if not model.is_view:
                self.connection.execute(f"delete from {model.relation}")
                self.connection.execute(f"execute fill_{model.name}")

    def override(self, name: str, query: str) -> None:
        """Refill one model's table by another query and run the models downstream of it.

        The query names models in braces. The next data set is the model's own again.
        """
        self.connection.execute(f"delete from {self.relations[name]}")
        self.rows(f"insert into {self.relations[name]} {query}")
        changed = {name}
        for model in self.models.values():
            if changed & model.parents:
                changed.add(model.name)
                self._refill([model])

    def rows(self, query: str) -> list[tuple]:
        """Return the rows of a query that names models in braces, as in `from {dim_users}`."""
        return self.connection.execute(query.format_map(self.relations)).fetchall()


# --- scenarios -----------------------------------------------------------------------------------

NULL_RATE = 0.05

# The design effects to compare: the project's own, none, and one value for the whole data set.
BY_DIMENSION = "design effects by dimension"
VARIANTS = {
    "no design effect": "select distinct dimension, 1.0 from {int_member_counts}",
    "one design effect for all": """
        with users as (
            select count(*) as events, count_if(is_violation) as violations,
                sum(violations) over () / sum(events) over () as rate
            from {int_accepted_events}
            group by user_id
        ),
        overall as (
            select count(*) / (count(*) - 1) * sum(power(violations - events * rate, 2))
                / nullif(sum(events * rate * (1 - rate)), 0) as design_effect
            from users
        )
        select distinct dimension, greatest(1.0, coalesce(design_effect, 1.0))
        from {int_member_counts} cross join overall
    """,
}
TREND = ("trend", "")


def average_rate(log_odds: float, user_effect_sd: float) -> float:
    """Return the expected violation rate over users whose effects are Normal(0, sd)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(weights @ (1 / (1 + np.exp(-log_odds - user_effect_sd * nodes))) / weights.sum())


def log_odds_of(rate: float, user_effect_sd: float) -> float:
    """Return the log odds of a middling user at which `average_rate` is `rate`."""
    return brentq(lambda log_odds: average_rate(log_odds, user_effect_sd) - rate, -50, 50)


def days_move(draws: np.random.Generator, memory: float = 0.0) -> np.ndarray:
    """Return what each day adds to the log odds, of sd 0.3, if it keeps `memory` of the last."""
    effects = draws.normal(0, 0.3, DAYS + 1)
    for day in range(1, DAYS + 1):
        effects[day] = memory * effects[day - 1] + (1 - memory**2) ** 0.5 * effects[day]
    return effects


def one_bad_day(draws: np.random.Generator) -> np.ndarray:
    """Return what each day adds to the log odds if a third of one whole day are violations."""
    effects = np.zeros(DAYS + 1)
    effects[draws.integers(1, DAYS)] = log_odds_of(0.33, 0) - log_odds_of(NULL_RATE, 0)
    return effects


@dataclass(frozen=True)
class Scenario:
    """A kind of data set; without effects it is that of the notebook.

    `size` is the number of events in units of `--events`; `day_effects` draws what each day adds
    to the log odds. `true_rate` is the rate of every member where it is known. `planted` names the
    dimension and the member that gets a difference which its own test calls detectable.
    """

    description: str
    effects: Effects | None
    size: int = 1
    day_effects: Callable[[np.random.Generator], np.ndarray] | None = None
    true_rate: float | None = None
    planted: tuple[str, str] | None = None
    compares_design_effects: bool = False


def _planted(what: str, user_effect_sd: float, planted: tuple[str, str], **more) -> Scenario:
    description = f"the {what} differs; users do, by sd {user_effect_sd}"
    effects = Effects(log_odds_of(NULL_RATE, user_effect_sd), user_effect_sd=user_effect_sd)
    return Scenario(description, effects, 4, planted=planted, **more)


SCENARIOS = {
    "null": Scenario("nothing has an effect", NULL_EFFECTS, true_rate=NULL_RATE),
    "null-users-differ": Scenario(
        "nothing but the user has an effect, of sd 1.0 on the log odds",
        replace(NULL_EFFECTS, user_effect_sd=1.0),
        compares_design_effects=True,
    ),
    "notebook": Scenario(
        "the events of the notebook, every column independent", None, true_rate=NULL_RATE
    ),
    "null-days-move": Scenario(
        "nothing but the day has an effect, of sd 0.3 on the log odds", None, 4, days_move
    ),
    "null-days-remember": Scenario(
        "the same, and a day keeps 0.8 of the effect of the day before",
        *(None, 4, partial(days_move, memory=0.8)),
    ),
    "null-one-bad-day": Scenario(
        "a third of the events of one day are violations", None, 4, one_bad_day
    ),
    "planted-trend": Scenario(
        "the rate rises steadily; every column else is independent", None, 4, planted=TREND
    ),
    "planted-region": _planted("region ASIA", 0.5, ("region", "ASIA")),
    "planted-sharing": _planted("data sharing level full", 0.5, ("data_shared", "full")),
    "planted-hour": _planted("hour 20", 0.5, ("event_hour", "20")),
    "planted-hour-users-differ": _planted(
        "hour 20", 1.0, ("event_hour", "20"), compares_design_effects=True
    ),
    "realistic": Scenario("the realistic events with all their effects", REALISTIC_EFFECTS, 12),
}
BASELINE_RUNS = 20


def plant(effects: Effects, dimension: str, member: str, difference: float) -> Effects:
    """Return the effects with the rate of one member raised by `difference` above all others'."""
    effect = log_odds_of(NULL_RATE + difference, effects.user_effect_sd) - effects.intercept
    if dimension == "event_hour":
        hours = tuple(effect * (hour == int(member)) for hour in range(24))
        return replace(effects, event_hour=hours)
    return replace(effects, **{dimension: {member: effect}})


def expected_differences(effects: Effects) -> dict[tuple[str, str], float]:
    """Return the expected rate of each member less that of the rest, by dimension and member."""
    cells = []
    for (region, region_share), (sharing, sharing_share), hour in product(
        zip(generator.REGIONS, generator.REGION_SHARES, strict=True),
        zip(generator.SHARING_LEVELS, generator.SHARING_SHARES, strict=True),
        range(24),
    ):
        log_odds = effects.region.get(region, 0.0) + effects.data_shared.get(sharing, 0.0)
        log_odds += effects.intercept + effects.event_hour[hour]
        rate = average_rate(log_odds, effects.user_effect_sd)
        weight = region_share * sharing_share * generator.HOUR_WEIGHTS[hour]
        cells += [
            (region, law, f"{region} / {law}", sharing, str(hour), weight, rate)
            for law in generator.REGULATIONS_OF_REGION[region]
        ]
    dimensions = ["region", "regulation", "region_and_regulation", "data_shared", "event_hour"]
    table = pd.DataFrame(cells, columns=[*dimensions, "weight", "rate"])

    table["violations"] = table["weight"] * table["rate"]
    differences = {}
    for dimension in dimensions:
        inside = table.groupby(dimension)[["violations", "weight"]].sum()
        rest = inside.sum() - inside
        found = inside["violations"] / inside["weight"] - rest["violations"] / rest["weight"]
        differences |= {(dimension, member): value for member, value in found.items()}
    return differences


@dataclass(frozen=True)
class DataSet:
    """What makes a data set, and what to do with it."""

    scenario: str
    seed: int
    events: int
    effects: Effects | None
    change_per_week: float = 0.0

    def build(self) -> pa.Table:
        """Return the raw events as text."""
        basics = (self.events, self.seed, AS_OF)
        if self.effects:
            users = max(1, self.events // EVENTS_PER_USER)
            chunks = generator.realistic_chunks(*basics, users, DAYS, self.effects)
            return pa.concat_tables(map(generator.as_text, chunks))
        events = generator.as_text(generator.notebook_events(*basics))
        has_days = SCENARIOS[self.scenario].day_effects or self.change_per_week
        return self._moved_by_day(events) if has_days else events

    def _moved_by_day(self, events: pa.Table) -> pa.Table:
        """Return the events with violations drawn anew, at a rate that hangs on the day.

        The rate is `NULL_RATE` in the middle of the period, where a day has no effect.
        """
        draw_effects = SCENARIOS[self.scenario].day_effects
        effects = draw_effects(np.random.default_rng([self.seed, DAYS])) if draw_effects else 0
        rates = NULL_RATE + self.change_per_week * (np.arange(DAYS + 1) - DAYS / 2) / 7
        rates = 1 / (1 + (1 - rates) / rates * np.exp(-effects))
        day = (pd.to_datetime(events["timestamp"].to_pandas()) - AS_OF).dt.days + DAYS
        is_violation = np.random.default_rng(self.seed).random(len(day)) < rates[day]
        others = events["status"].to_pandas().replace("violation", "compliant")
        status = pa.array(others.mask(is_violation, "violation"), pa.string())
        return events.set_column(events.column_names.index("status"), "status", status)


@dataclass(frozen=True)
class Outcome:
    """What the findings say about one data set; pairs are hits and cases.

    `differs` holds dimension, member and difference of every such verdict, by `VARIANTS`.
    """

    differs: dict[str, list[tuple[str, str, float]]]
    judged_dimensions: set[str]
    has_confirmed_users: bool
    days_out_of_control: tuple[int, int]
    covered_members: dict[str, tuple[int, int]]
    detectable: dict[tuple[str, str], float]

    @property
    def dimensions(self) -> set[str]:
        """The dimensions that are found to differ, or of which a member is."""
        return {dimension for dimension, _, _ in self.differs[BY_DIMENSION]}

    def finds(self, planted: tuple[str, str], variant: str = BY_DIMENSION) -> bool:
        """Return whether a member's rate is found to be higher than that of the rest."""
        return any(row[:2] == planted and row[2] > 0 for row in self.differs[variant])


def seed_of(seed: int, purpose: str, run: int) -> int:
    """Return a seed for the generator that hangs on nothing but the arguments."""
    sequence = np.random.SeedSequence([seed, *purpose.encode(), run])
    return int(sequence.generate_state(1)[0])


def _start_worker(project: CompiledProject) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the workers
    global _bench
    _bench = Bench(project)


def measure(data_set: DataSet) -> Outcome:
    """Run the models on a data set and read off what they claim."""
    bench, scenario = _bench, SCENARIOS[data_set.scenario]
    bench.load(data_set.build())
    findings = bench.rows(FINDINGS)
    [(has_confirmed_users, *days)] = bench.rows(
        "select exists (from {dim_users} where risk_evidence = 'confirmed'),"
        " count_if(is_out_of_control), count(is_out_of_control) from {violation_control_chart}"
    )
    rate = f"{scenario.true_rate or 'null'}::double"
    covered = bench.rows(
        f"select dimension, count_if({rate} between violation_rate_low and violation_rate_high),"
        f" count(*) from {{violation_tests}} where events * {rate} >= 5 group by dimension"
    )
    by_variant = {BY_DIMENSION: findings}
    for variant, query in VARIANTS.items() if scenario.compares_design_effects else ():
        bench.override("int_design_effects", query)
        by_variant[variant] = bench.rows(FINDINGS)
    judged = {row[0] for row in findings if not row[1] and row[3] != "too_few"}
    return Outcome(
        {name: [row[:3] for row in by_variant[name] if row[3] == "differs"] for name in by_variant},
        judged,
        has_confirmed_users,
        tuple(days),
        {dimension: tuple(counts) for dimension, *counts in covered},
        {row[:2]: row[4] for row in findings},
    )


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
    if floor <= share <= ceiling:
        is_met = "yes"
    else:
        is_met = "open" if low <= ceiling and high >= floor else "no"
    if least and most:
        requirement = f"{least:.0%} to {most:.0%}"
    elif least or most:
        requirement = f"at least {least:.0%}" if least else f"at most {most:.0%}"
    else:
        requirement = is_met = ""
    found = {"hits": hits, "cases": cases, "share": share, "low": low, "high": high}
    limits = {"least": least, "most": most, "requirement": requirement, "is_met": is_met}
    return found | limits


def statistics_of(name: str, outcomes: Sequence[Outcome]) -> Iterator[tuple]:
    """Yield what a statistic is called and the arguments of `share_of`."""
    scenario = SCENARIOS[name]
    if scenario.planted:
        what = " ".join(("runs that find", *scenario.planted)).rstrip()
        for variant in outcomes[0].differs:
            found = (one.finds(scenario.planted, variant) for one in outcomes)
            label = what + f", {variant}" * scenario.compares_design_effects
            yield label, found, POWER if variant == BY_DIMENSION else None
        return
    if name == "realistic":
        for planted in (("region", "AFRICA"), ("region", "ASIA"), ("data_shared", "full")):
            yield f"runs that find {' '.join(planted)}", (one.finds(planted) for one in outcomes)
        truth = expected_differences(scenario.effects)
        wrong = (
            any(truth.get(row[:2], 0.0) * row[2] < 0 for row in one.differs[BY_DIMENSION])
            for one in outcomes
        )
        yield "runs with any verdict differs of the wrong sign", wrong
        affected = {dimension for dimension, _ in truth}
        elsewhere = (bool(one.dimensions - affected) for one in outcomes)
        yield "runs with any verdict differs where nothing has an effect", elsewhere, None, 0.06
        return
    if scenario.day_effects:
        # Days do differ, but nothing else does, and no trend is there. Memory is not allowed for.
        most = None if name == "null-days-remember" else 0.06
        yield "runs with a trend", ("trend" in one.dimensions for one in outcomes), None, most
        others = (bool(one.dimensions - {"event_date", "trend"}) for one in outcomes)
        yield "runs with any verdict differs but of days and the trend", others, None, 0.06
        yield "runs in which days differ", ("event_date" in one.dimensions for one in outcomes)
    else:
        yield (
            "runs with any verdict differs",
            (bool(one.dimensions) for one in outcomes),
            None,
            0.06,
        )
    for variant in VARIANTS if scenario.compares_design_effects else ():
        yield f"the same with {variant}", (bool(one.differs[variant]) for one in outcomes)
    if scenario.true_rate:
        confirmed = (one.has_confirmed_users for one in outcomes)
        yield "runs with any user confirmed", confirmed, None, 0.06
        covered = (
            tuple(map(sum, zip((0, 0), *one.covered_members.values(), strict=True)))
            for one in outcomes
        )
        yield "members whose interval covers the true rate", covered, 0.94, 0.96
    yield "days outside the control limits", (one.days_out_of_control for one in outcomes)


def dimensions_of_scenario(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return for each dimension how many runs judge it and find that it differs.

    And of its members' intervals, how many there are and how many `covered` the true rate.
    """
    rows = []
    for name in dict.fromkeys(name for one in outcomes for name, _ in one.detectable):
        intervals = [one.covered_members.get(name, (0, 0)) for one in outcomes]
        covered, members = map(sum, zip(*intervals, strict=True))
        judged = sum(name in one.judged_dimensions for one in outcomes)
        differs = sum(name in one.dimensions for one in outcomes)
        row = {"dimension": name, "runs": len(outcomes), "judged": judged, "differs": differs}
        rows.append({**row, "covered": covered, "members": members})
    return rows


def calibrate(names: Sequence[str], runs: int, events: int, seed: int, workers: int) -> dict:
    """Return what the scenarios show, ready to be written as JSON.

    The result hangs on everything but `workers`. Raises OttError if dbt fails.
    """
    baselines = sum(SCENARIOS[name].planted is not None for name in names)
    total = BASELINE_RUNS * baselines + runs * len(names)
    with (
        tempfile.TemporaryDirectory(prefix="calibrate-") as folder,
        tqdm(total=total, unit=" data sets", disable=None) as bar,
        ExitStack() as stack,
    ):
        initial = (compile_project(Path(folder)),)
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, initial)
        stack.callback(pool.shutdown, cancel_futures=True)

        def measured(purpose: str, number: int, *what: Effects | float | None) -> Iterator[Outcome]:
            seeds = [seed_of(seed, purpose, run) for run in range(number)]
            size = events * SCENARIOS[name].size
            for outcome in pool.map(measure, [DataSet(name, own, size, *what) for own in seeds]):
                bar.update()
                yield outcome

        differences, outcomes = {}, {}
        for name in names:
            effects, planted, change = SCENARIOS[name].effects, SCENARIOS[name].planted, 0.0
            if planted:
                baseline = measured(f"{name} baseline", BASELINE_RUNS, effects)
                change = median(outcome.detectable[planted] for outcome in baseline)
                differences[name] = change
                effects = effects and plant(effects, *planted, change)
            outcomes[name] = [*measured(name, runs, effects, change)]
    return {
        "arguments": {"scenarios": list(names), "runs": runs, "events": events, "seed": seed},
        "planted_differences": differences,
        "shares": [
            {"scenario": name, "statistic": statistic, **share}
            for name in names
            for statistic, *counted in statistics_of(name, outcomes[name])
            if (share := share_of(*counted))
        ],
        "dimensions": {name: dimensions_of_scenario(outcomes[name]) for name in names},
    }


def as_markdown(result: dict) -> str:
    """Return the result as two Markdown tables."""
    planted = {
        name: f" (+{100 * difference:.2f} percentage points"
        + (" a week)" if SCENARIOS[name].planted == TREND else ")")
        for name, difference in result["planted_differences"].items()
    }
    row_of_share = (
        "| {scenario} | {statistic}{planted} | {share:.2%} | {low:.2%} to {high:.2%} | {cases:,} "
        "| {requirement} | {is_met} |"
    )
    header = "| Scenario | What | Share | 95 % interval | Of | Required | Met |"
    lines = [header, "|" + " --- |" * 7]
    for share in result["shares"]:
        lines.append(row_of_share.format(**share, planted=planted.get(share["scenario"], "")))
    lines += ["", "| Scenario | Dimension | Judged | Differs | Covered |", "|" + " --- |" * 5]
    for name, rows in result["dimensions"].items():
        for row in rows:
            judged, differs = row["judged"] / row["runs"], row["differs"] / row["runs"]
            covered = f"{row['covered'] / row['members']:.1%}" if row["members"] else ""
            figures = f"{judged:.1%} | {differs:.1%} | {covered}"
            lines.append(f"| {name} | {row['dimension']} | {figures} |")
    return "\n".join(lines)
