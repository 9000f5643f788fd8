"""Show on synthetic data sets whether the statistics of the findings keep what they promise.

Runs the project's own models, as dbt compiles them, on data sets whose truth is known.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import datetime
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

DBT = Path(sys.executable).with_name("dbt.exe" if os.name == "nt" else "dbt")
AS_OF = datetime(2026, 1, 31)  # as the project's variable latest_timestamp
DAYS = 30
EVENTS_PER_USER = 25
LEVEL = 0.95
POWER = 0.95

RAW_EVENTS = "raw_compliance_events"
DESIGN_EFFECTS = "int_design_effects"
FINDINGS = (
    "violation_associations",
    "violation_tests",
    "violation_trend",
    "violation_control_chart",
    "dim_users",
)

# --- the project's models ------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A model as dbt compiled it; `ancestors` are the names of all models that it reads."""

    name: str
    relation: str
    sql: str
    is_view: bool
    ancestors: frozenset[str]


@dataclass(frozen=True)
class CompiledProject:
    """Models in an order in which they can run, and the database that holds the other seeds."""

    database: Path
    catalog: str
    schemas: tuple[str, ...]
    raw_events: str
    seeds: tuple[str, ...]
    models: tuple[Model, ...]


def compile_project(
    folder: Path, project: Path = PROJECT, targets: Iterable[str] = FINDINGS
) -> CompiledProject:
    """Let dbt compile everything that the `targets` hang on, with all that it writes in `folder`.

    The variable `power` is set to `POWER`; it changes detectable differences and nothing else.

    Raises OttError with the output of dbt if dbt fails.
    """
    database = folder / "calibration.duckdb"
    _dbt(project, folder, database, "seed", "--exclude", RAW_EVENTS)
    _dbt(project, folder, database, "compile", "--select", *(f"+{name}" for name in targets))
    nodes = json.loads((folder / "target" / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    by_name = {
        node["name"]: node for node in nodes.values() if node["resource_type"] in ("model", "seed")
    }

    models: dict[str, Model] = {}
    seeds: dict[str, str] = {}

    def visit(node: dict) -> frozenset[str]:
        """Add a node after all that it reads, and return the names of the models among them."""
        name = node["name"]
        if node["resource_type"] == "seed":
            seeds[name] = node["relation_name"]
            return frozenset()
        if name not in models:
            parents = [nodes[key] for key in node["depends_on"]["nodes"]]
            ancestors = frozenset().union(*(visit(parent) for parent in parents))
            models[name] = Model(
                name,
                node["relation_name"],
                node["compiled_code"],
                node["config"]["materialized"] == "view",
                ancestors,
            )
        return models[name].ancestors | {name}

    for target in targets:
        visit(by_name[target])
    used = [by_name[name] for name in (*models, *seeds)]
    return CompiledProject(
        database=database,
        catalog=used[0]["database"],
        schemas=tuple(sorted({node["schema"] for node in used})),
        raw_events=seeds.pop(RAW_EVENTS),
        seeds=tuple(seeds.values()),
        models=tuple(models.values()),
    )


def _dbt(project: Path, folder: Path, database: Path, *arguments: str) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTT_")}
    paths = ["--target-path", folder / "target", "--log-path", folder / "logs"]
    result = subprocess.run(
        [DBT, "--no-use-colors", *arguments, *paths, "--vars", json.dumps({"power": POWER})],
        cwd=project,
        env={**environment, "OTT_DATABASE_PATH": str(database)},
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
        self.models = {model.name: model for model in project.models}
        self.raw_events = project.raw_events
        self.is_prepared = False
        self.connection = duckdb.connect(config={"threads": 1})
        # A plan outlives the data set that it was made for, so it may not rely on its statistics.
        self.connection.execute(
            "set disabled_optimizers = 'statistics_propagation,compressed_materialization'"
        )
        self.connection.execute("set TimeZone = 'UTC'")
        self.connection.execute(f"attach '{project.database}' as built (read_only)")
        self.connection.execute(f"attach ':memory:' as {project.catalog}")
        for schema in project.schemas:
            self.connection.execute(f"create schema {project.catalog}.{schema}")
        for seed in project.seeds:
            built = seed.replace(project.catalog, "built", 1)
            self.connection.execute(f"create table {seed} as from {built}")
        self.connection.execute("detach built")

    def load(self, events: pa.Table) -> None:
        """Replace the raw events by a table of text and run all models."""
        if self.is_prepared:
            self.connection.execute(f"delete from {self.raw_events}")
            self.connection.execute(f"insert into {self.raw_events} from events")
            self._refill(self.models.values())
        else:
            self.connection.execute(f"create table {self.raw_events} as from events")
            self._prepare()

    def _prepare(self) -> None:
        for model in self.models.values():
            kind = "view" if model.is_view else "table"
            self.connection.execute(f"create {kind} {model.relation} as {model.sql}")
        for model in self.models.values():
            if not model.is_view:
                self.connection.execute(
                    f"prepare fill_{model.name} as insert into {model.relation} {model.sql}"
                )
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
        self.connection.execute(f"delete from {self.models[name].relation}")
        self.connection.execute(
            f"insert into {self.models[name].relation} {self._with_relations(query)}"
        )
        self._refill(model for model in self.models.values() if name in model.ancestors)

    def rows(self, query: str) -> list[tuple]:
        """Return the rows of a query that names models in braces, as in `from {dim_users}`."""
        return self.connection.execute(self._with_relations(query)).fetchall()

    def _with_relations(self, query: str) -> str:
        return query.format_map({model.name: model.relation for model in self.models.values()})


# --- scenarios -----------------------------------------------------------------------------------

NULL_RATE = 0.05
INDEPENDENT = NULL_EFFECTS
USERS_DIFFER_SOMEWHAT = replace(NULL_EFFECTS, user_effect_sd=0.5)
USERS_DIFFER = replace(NULL_EFFECTS, user_effect_sd=1.0)

# The design effects to compare: the project's own, none, and one value for the whole data set.
BY_DIMENSION = "design effects by dimension"
VARIANTS = {
    "no design effect": """
        select distinct dimension, 1.0 as design_effect from {int_member_counts}
    """,
    "one design effect for all": """
        with users as (
            select
                count(*) as events,
                count(*) filter (where is_violation) as violation_events
            from {int_accepted_events}
            group by user_id
        ),
        overall as (
            select sum(violation_events) / sum(events) as violation_rate from users
        ),
        design_effect as (
            select
                greatest(1.0, coalesce(
                    count(*) / (count(*) - 1)
                    * sum(power(users.violation_events - users.events * violation_rate, 2))
                    / nullif(
                        sum(users.events) * any_value(violation_rate * (1 - violation_rate)), 0
                    ),
                    1.0
                )) as design_effect
            from users
            cross join overall
        )
        select distinct dimension, design_effect
        from {int_member_counts}
        cross join design_effect
    """,
}


TREND = ("trend", "")


def days_move(draws: np.random.Generator) -> np.ndarray:
    """Return what each day adds to the log odds if every day does as it likes."""
    return draws.normal(0, 0.3, DAYS + 1)


def days_remember(draws: np.random.Generator) -> np.ndarray:
    """Return what each day adds to the log odds if it keeps 0.8 of the day before."""
    effects = days_move(draws)
    for day in range(1, DAYS + 1):
        effects[day] = 0.8 * effects[day - 1] + 0.6 * effects[day]
    return effects


def one_bad_day(draws: np.random.Generator) -> np.ndarray:
    """Return what each day adds to the log odds if a third of one whole day are violations."""
    effects = np.zeros(DAYS + 1)
    effects[draws.integers(1, DAYS)] = log_odds_of(0.33, 0) - log_odds_of(NULL_RATE, 0)
    return effects


@dataclass(frozen=True)
class Scenario:
    """A kind of data set; without effects it is that of the notebook.

    `size` is the number of events in units of `--events`. `planted` names the dimension and the
    member that gets a difference which its own test calls detectable. `true_rate` is the rate of
    every member where it is known. `day_effects` draws what each day adds to the log odds.
    """

    description: str
    effects: Effects | None
    size: int = 1
    true_rate: float | None = None
    planted: tuple[str, str] | None = None
    compares_design_effects: bool = False
    day_effects: Callable[[np.random.Generator], np.ndarray] | None = None


SCENARIOS = {
    "null": Scenario("nothing has an effect", INDEPENDENT, true_rate=NULL_RATE),
    "null-users-differ": Scenario(
        "nothing but the user has an effect, of sd 1.0 on the log odds",
        USERS_DIFFER,
        compares_design_effects=True,
    ),
    "notebook": Scenario(
        "the events of the notebook, every column independent", None, true_rate=NULL_RATE
    ),
    "null-days-move": Scenario(
        "nothing but the day has an effect, of sd 0.3 on the log odds",
        None,
        4,
        day_effects=days_move,
    ),
    "null-days-remember": Scenario(
        "the same, and a day keeps 0.8 of the effect of the day before",
        None,
        4,
        day_effects=days_remember,
    ),
    "null-one-bad-day": Scenario(
        "a third of the events of one day are violations", None, 4, day_effects=one_bad_day
    ),
    "planted-trend": Scenario(
        "the rate rises steadily; every column else is independent", None, 4, planted=TREND
    ),
    "planted-region": Scenario(
        "the region ASIA differs; users do, by sd 0.5",
        USERS_DIFFER_SOMEWHAT,
        4,
        planted=("region", "ASIA"),
    ),
    "planted-sharing": Scenario(
        "the data sharing level full differs; users do, by sd 0.5",
        USERS_DIFFER_SOMEWHAT,
        4,
        planted=("data_shared", "full"),
    ),
    "planted-hour": Scenario(
        "the hour 20 differs; users do, by sd 0.5",
        USERS_DIFFER_SOMEWHAT,
        4,
        planted=("event_hour", "20"),
    ),
    "planted-hour-users-differ": Scenario(
        "the hour 20 differs; users do, by sd 1.0",
        USERS_DIFFER,
        4,
        planted=("event_hour", "20"),
        compares_design_effects=True,
    ),
    "realistic": Scenario("the realistic events with all their effects", REALISTIC_EFFECTS, 12),
}
BASELINE_RUNS = 20


def average_rate(log_odds: float, user_effect_sd: float) -> float:
    """Return the expected violation rate over users whose effects are Normal(0, sd)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(weights @ (1 / (1 + np.exp(-log_odds - user_effect_sd * nodes))) / weights.sum())


def log_odds_of(rate: float, user_effect_sd: float) -> float:
    """Return the log odds of a middling user at which `average_rate` is `rate`."""
    return brentq(lambda log_odds: average_rate(log_odds, user_effect_sd) - rate, -50, 50)


def with_null_rate(effects: Effects) -> Effects:
    """Return the effects with the intercept at which the expected rate is `NULL_RATE`."""
    return replace(effects, intercept=log_odds_of(NULL_RATE, effects.user_effect_sd))


def plant(effects: Effects, dimension: str, member: str, difference: float) -> Effects:
    """Return the effects with the rate of one member raised by `difference` above all others'."""
    effect = log_odds_of(NULL_RATE + difference, effects.user_effect_sd) - effects.intercept
    if dimension == "event_hour":
        hours = tuple(effect * (hour == int(member)) for hour in range(24))
        return replace(effects, event_hour=hours)
    return replace(effects, **{dimension: {member: effect}})


def moved_by_day(
    events: pa.Table, seed: int, day_effects: np.ndarray, change_per_week: float
) -> pa.Table:
    """Return events of `NULL_RATE` with violations drawn anew, at a rate that hangs on the day.

    The rate is `NULL_RATE` in the middle of the period, where a day has no effect.
    """
    draws = np.random.default_rng(seed)
    day = pd.to_datetime(events["timestamp"].to_pandas()).dt.normalize()
    number = (day - pd.Timestamp(AS_OF)).dt.days.to_numpy() + DAYS
    rates = NULL_RATE + change_per_week * (np.arange(DAYS + 1) - DAYS / 2) / 7
    rates = 1 / (1 + (1 - rates) / rates * np.exp(-day_effects))
    status = np.where(
        draws.random(len(number)) < rates[number],
        "violation",
        events["status"].to_pandas().replace("violation", "compliant"),
    )
    column = events.column_names.index("status")
    return events.set_column(column, "status", pa.array(status, pa.string()))


def expected_differences(effects: Effects) -> dict[tuple[str, str], float]:
    """Return the expected rate of each member less that of the rest, by dimension and member."""
    cells = pd.DataFrame(
        [
            {
                "region": region,
                "regulation": regulation,
                "region_and_regulation": f"{region} / {regulation}",
                "data_shared": sharing,
                "event_hour": str(hour),
                "weight": region_share * sharing_share * generator.HOUR_WEIGHTS[hour],
                "rate": average_rate(
                    effects.intercept
                    + effects.region.get(region, 0.0)
                    + effects.data_shared.get(sharing, 0.0)
                    + effects.event_hour[hour],
                    effects.user_effect_sd,
                ),
            }
            for (region, region_share), (sharing, sharing_share), hour in product(
                zip(generator.REGIONS, generator.REGION_SHARES, strict=True),
                zip(generator.SHARING_LEVELS, generator.SHARING_SHARES, strict=True),
                range(24),
            )
            for regulation in generator.REGULATIONS_OF_REGION[region]
        ]
    )

    def rate(part: pd.DataFrame) -> float:
        return float(np.average(part["rate"], weights=part["weight"]))

    return {
        (dimension, member): rate(cells[cells[dimension] == member])
        - rate(cells[cells[dimension] != member])
        for dimension in cells.columns[:5]
        for member in cells[dimension].unique()
    }


# --- data sets -----------------------------------------------------------------------------------


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
        if self.effects is None:
            events = generator.as_text(generator.notebook_events(self.events, self.seed, AS_OF))
            draw_effects = SCENARIOS[self.scenario].day_effects
            if draw_effects is None and not self.change_per_week:
                return events
            draws = np.random.default_rng([self.seed, DAYS])
            day_effects = draw_effects(draws) if draw_effects else np.zeros(DAYS + 1)
            return moved_by_day(events, self.seed, day_effects, self.change_per_week)
        users = max(1, self.events // EVENTS_PER_USER)
        chunks = generator.realistic_chunks(
            self.events, self.seed, AS_OF, users, DAYS, self.effects
        )
        return pa.concat_tables(map(generator.as_text, chunks))


@dataclass(frozen=True)
class Outcome:
    """What the findings say about one data set.

    `differs` holds, for each variant of the design effects, the dimension, member (empty for the
    dimension as a whole) and difference of every verdict `differs`. Pairs are hits and cases.
    """

    differs: dict[str, list[tuple[str, str, float]]]
    judged_dimensions: list[str]
    confirmed_users: int
    days_out_of_control: tuple[int, int]
    covered_members: dict[str, tuple[int, int]]
    detectable: dict[tuple[str, str], float]

    def finds(self, dimension: str, member: str, variant: str = BY_DIMENSION) -> bool:
        """Return whether the member's rate is found to be higher than that of the rest."""
        return any(
            (dimension, member) == finding[:2] and finding[2] > 0
            for finding in self.differs[variant]
        )


def seed_of(seed: int, purpose: str, run: int) -> int:
    """Return a seed for the generator that hangs on nothing but the arguments."""
    sequence = np.random.SeedSequence([seed, *purpose.encode(), run])
    return int(sequence.generate_state(1)[0])


def measure(bench: Bench, data_set: DataSet) -> Outcome:
    """Run the models on a data set and read off what they claim."""
    scenario = SCENARIOS[data_set.scenario]
    bench.load(data_set.build())
    differs = {BY_DIMENSION: _verdicts(bench)}
    judged = bench.rows(
        "select dimension from {violation_associations} where verdict <> 'too_few'"
        " union all select 'trend' from {violation_trend} where verdict <> 'too_few'"
    )
    [confirmed] = bench.rows("select count(*) from {dim_users} where risk_evidence = 'confirmed'")
    [days] = bench.rows(
        "select count(*) filter (where is_out_of_control), count(is_out_of_control)"
        " from {violation_control_chart}"
    )
    [(detectable_change,)] = bench.rows("select detectable_change from {violation_trend}")
    tests = bench.rows(
        "select dimension, member, events, violation_rate_low, violation_rate_high,"
        " detectable_difference from {violation_tests} order by all"
    )
    covered: dict[str, list[bool]] = {}
    for dimension, _, events, low, high, _ in tests if scenario.true_rate else ():
        if events * scenario.true_rate >= 5:
            covered.setdefault(dimension, []).append(low <= scenario.true_rate <= high)
    if scenario.compares_design_effects:
        for variant, query in VARIANTS.items():
            bench.override(DESIGN_EFFECTS, query)
            differs[variant] = _verdicts(bench)
    return Outcome(
        differs=differs,
        judged_dimensions=[dimension for (dimension,) in judged],
        confirmed_users=confirmed[0],
        days_out_of_control=days,
        covered_members={name: (sum(hits), len(hits)) for name, hits in covered.items()},
        detectable={**{test[:2]: test[5] for test in tests}, TREND: detectable_change},
    )


def _verdicts(bench: Bench) -> list[tuple[str, str, float]]:
    return bench.rows(
        "select dimension, '', 0.0 from {violation_associations} where verdict = 'differs'"
        " union all"
        " select dimension, member, rate_difference from {violation_tests}"
        " where verdict = 'differs'"
        " union all"
        " select 'trend', '', change_per_week from {violation_trend} where verdict = 'differs'"
        " order by all"
    )


# --- the workers ---------------------------------------------------------------------------------


def _start_worker(project: CompiledProject) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the workers
    global _bench
    _bench = Bench(project)


def _work(data_set: DataSet) -> Outcome:
    return measure(_bench, data_set)


# --- the statistics of many runs -----------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """A share of cases with its interval, and the range that it is required to lie in."""

    scenario: str
    statistic: str
    hits: int
    cases: int
    share: float
    low: float
    high: float
    least: float | None
    most: float | None

    @property
    def requirement(self) -> str:
        """The range in words; empty if there is none."""
        match self.least, self.most:
            case None, None:
                return ""
            case None, most:
                return f"at most {most:.0%}"
            case least, None:
                return f"at least {least:.0%}"
            case least, most:
                return f"{least:.0%} to {most:.0%}"

    @property
    def is_met(self) -> str:
        """Return `yes`, `no`, or `open` if the share misses the range but its interval does not."""
        least, most = self.least or 0.0, 1.0 if self.most is None else self.most
        if not self.requirement:
            return ""
        if least <= self.share <= most:
            return "yes"
        return "open" if self.low <= most and self.high >= least else "no"


def share_of(
    scenario: str,
    statistic: str,
    counts: Iterable[tuple[int, int]],
    least: float | None = None,
    most: float | None = None,
) -> Share | None:
    """Return the share of hits among cases over runs, each given as hits and cases.

    The interval is that of Wilson; several cases of one run count as far as they vary
    independently of each other (by the variance between runs over the binomial one). None if
    there are no cases.
    """
    runs = [(int(hits), cases) for hits, cases in counts]
    hits, cases = (sum(column) for column in zip(*runs, strict=True))
    if cases == 0:
        return None
    share = hits / cases
    between = sum((run_hits - run_cases * share) ** 2 for run_hits, run_cases in runs)
    binomial = cases * share * (1 - share)
    independent = cases / max(1.0, between / binomial if binomial else 1.0)
    low, high = proportion_confint(share * independent, independent, 1 - LEVEL, method="wilson")
    # Rounding can put a share of 0 or 1 outside.
    low, high = min(float(low), share), max(float(high), share)
    return Share(scenario, statistic, hits, cases, share, low, high, least, most)


# A statistic: what it is called, its hits and cases in each run, the least and the most it may be.
Statistic = tuple[str, Iterable[tuple[int, int]], float | None, float | None]


def shares_of_scenario(name: str, outcomes: Sequence[Outcome]) -> list[Share]:
    """Return what is to be reported of a scenario."""
    scenario = SCENARIOS[name]
    if scenario.planted:
        statistics = _statistics_of_planted(scenario, outcomes)
    elif name == "realistic":
        statistics = _statistics_of_realistic(scenario, outcomes)
    elif scenario.day_effects:
        # A memory of days is not allowed for.
        most = None if name == "null-days-remember" else 0.06
        statistics = _statistics_of_moving_days(outcomes, most)
    else:
        statistics = _statistics_of_null(scenario, outcomes)
    shares = (share_of(name, *statistic) for statistic in statistics)
    return [share for share in shares if share is not None]


def _once(hits: Iterable[object]) -> Iterable[tuple[int, int]]:
    """Return hits and cases where each run is one case."""
    return ((bool(hit), 1) for hit in hits)


def _statistics_of_null(scenario: Scenario, outcomes: Sequence[Outcome]) -> Iterable[Statistic]:
    claims = _once(outcome.differs[BY_DIMENSION] for outcome in outcomes)
    yield "runs with any verdict differs", claims, None, 0.06
    if scenario.compares_design_effects:
        for variant in VARIANTS:
            claims = _once(outcome.differs[variant] for outcome in outcomes)
            yield f"the same with {variant}", claims, None, None
    if scenario.true_rate:
        confirmed = _once(outcome.confirmed_users for outcome in outcomes)
        yield "runs with any user confirmed", confirmed, None, 0.06
        covered = (
            tuple(map(sum, zip((0, 0), *outcome.covered_members.values(), strict=True)))
            for outcome in outcomes
        )
        yield "members whose interval covers the true rate", covered, 0.94, 0.96
    yield _days_out_of_control(outcomes)


def _days_out_of_control(outcomes: Sequence[Outcome]) -> Statistic:
    days = (outcome.days_out_of_control for outcome in outcomes)
    return "days outside the control limits", days, None, None


def _statistics_of_moving_days(
    outcomes: Sequence[Outcome], most_trends: float | None
) -> Iterable[Statistic]:
    """Yield the statistics where days do differ, but nothing else does, and no trend is there."""
    found = [{finding[0] for finding in outcome.differs[BY_DIMENSION]} for outcome in outcomes]
    yield "runs with a trend", _once("trend" in names for names in found), None, most_trends
    others = _once(names - {"event_date", "trend"} for names in found)
    yield "runs with any verdict differs but of days and the trend", others, None, 0.06
    yield "runs in which days differ", _once("event_date" in names for names in found), None, None
    yield _days_out_of_control(outcomes)


def _statistics_of_planted(scenario: Scenario, outcomes: Sequence[Outcome]) -> Iterable[Statistic]:
    dimension, member = scenario.planted
    for variant in outcomes[0].differs:
        name = f"runs that find {dimension} {member}".rstrip()
        found = _once(outcome.finds(dimension, member, variant) for outcome in outcomes)
        least = POWER if variant == BY_DIMENSION else None
        yield name + f", {variant}" * scenario.compares_design_effects, found, least, None


def _statistics_of_realistic(
    scenario: Scenario, outcomes: Sequence[Outcome]
) -> Iterable[Statistic]:
    for planted in (("region", "AFRICA"), ("region", "ASIA"), ("data_shared", "full")):
        found = _once(outcome.finds(*planted) for outcome in outcomes)
        yield f"runs that find {' '.join(planted)}", found, None, None
    truth = expected_differences(scenario.effects)
    affected = {dimension for dimension, _ in truth}
    wrong = _once(
        any(truth.get(tuple(member), 0.0) * difference < 0 for *member, difference in claims)
        for claims in (outcome.differs[BY_DIMENSION] for outcome in outcomes)
    )
    yield "runs with any verdict differs of the wrong sign", wrong, None, None
    elsewhere = _once(
        any(claim[0] not in affected for claim in outcome.differs[BY_DIMENSION])
        for outcome in outcomes
    )
    yield "runs with any verdict differs where nothing has an effect", elsewhere, None, 0.06


def dimensions_of_scenario(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return for each dimension the numbers of runs that judge it and that find that it differs.

    And of its members' intervals, how many there are and how many `covered` the true rate.
    """
    judged = Counter(name for outcome in outcomes for name in outcome.judged_dimensions)
    differs = Counter(
        name
        for outcome in outcomes
        for name in {dimension for dimension, _, _ in outcome.differs[BY_DIMENSION]}
    )
    names = dict.fromkeys(dimension for outcome in outcomes for dimension, _ in outcome.detectable)
    return [
        {
            "dimension": name,
            "runs": len(outcomes),
            "judged": judged[name],
            "differs": differs[name],
            "covered": sum(outcome.covered_members.get(name, (0, 0))[0] for outcome in outcomes),
            "members": sum(outcome.covered_members.get(name, (0, 0))[1] for outcome in outcomes),
        }
        for name in names
    ]


# --- running it all ------------------------------------------------------------------------------


def calibrate(
    names: Sequence[str], runs: int, events: int, seed: int, workers: int
) -> dict[str, object]:
    """Return what the scenarios show, ready to be written as JSON.

    The result hangs on everything but `workers`. Raises OttError if dbt fails.
    """
    planted = [name for name in names if SCENARIOS[name].planted]
    total = BASELINE_RUNS * len(planted) + runs * len(names)
    with (
        tempfile.TemporaryDirectory(prefix="calibrate-") as folder,
        tqdm(total=total, unit=" data sets", disable=None) as bar,
        ExitStack() as stack,
    ):
        compiled = compile_project(Path(folder))
        spawn = get_context("spawn")
        pool = ProcessPoolExecutor(workers, spawn, initializer=_start_worker, initargs=(compiled,))
        stack.callback(pool.shutdown, cancel_futures=True)

        def measured(
            name: str, purpose: str, effects: Effects | None, number: int, change: float = 0.0
        ) -> Iterator[Outcome]:
            size = events * SCENARIOS[name].size
            seeds = [seed_of(seed, purpose, run) for run in range(number)]
            for outcome in pool.map(
                _work, [DataSet(name, own, size, effects, change) for own in seeds]
            ):
                bar.update()
                yield outcome

        effects = {name: SCENARIOS[name].effects for name in names}
        differences = {}
        for name in planted:
            null = effects[name] and with_null_rate(effects[name])
            differences[name] = median(
                outcome.detectable[SCENARIOS[name].planted]
                for outcome in measured(name, f"{name} baseline", null, BASELINE_RUNS)
            )
            if null:
                effects[name] = plant(null, *SCENARIOS[name].planted, differences[name])
        changes = {name: differences[name] for name in planted if SCENARIOS[name].planted == TREND}
        outcomes = {
            name: [*measured(name, name, effects[name], runs, changes.get(name, 0.0))]
            for name in names
        }
    return {
        "arguments": {"scenarios": list(names), "runs": runs, "events": events, "seed": seed},
        "planted_differences": differences,
        "shares": [
            {**asdict(share), "requirement": share.requirement, "is_met": share.is_met}
            for name in names
            for share in shares_of_scenario(name, outcomes[name])
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
    shares = [
        [
            share["scenario"],
            share["statistic"] + planted.get(share["scenario"], ""),
            f"{share['share']:.2%}",
            f"{share['low']:.2%} to {share['high']:.2%}",
            f"{share['cases']:,}",
            share["requirement"],
            share["is_met"],
        ]
        for share in result["shares"]
    ]
    dimensions = [
        [
            name,
            row["dimension"],
            f"{row['judged'] / row['runs']:.1%}",
            f"{row['differs'] / row['runs']:.1%}",
            f"{row['covered'] / row['members']:.1%}" if row["members"] else "",
        ]
        for name, rows in result["dimensions"].items()
        for row in rows
    ]
    return "\n".join(
        [
            *_table(
                ("Scenario", "What", "Share", "95 % interval", "Of", "Required", "Met"), shares
            ),
            "",
            *_table(("Scenario", "Dimension", "Judged", "Differs", "Covered"), dimensions),
        ]
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
