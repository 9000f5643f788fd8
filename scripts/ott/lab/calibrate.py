"""Show on synthetic data sets whether the statistics of the findings keep what they promise.

Runs the project's own models, as dbt compiles them, on data sets whose truth is known. Their worlds
are written down here once more, and share no code with the generator of the seed, so that a mistake
there cannot hide one in the statistics.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
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
import pyarrow.compute as pc
from scipy.optimize import brentq
from statsmodels.stats.proportion import proportion_confint
from tqdm import tqdm

from ott import PROJECT, OttError
from ott.events import generator
from ott.events.generator import REALISTIC_EFFECTS, Effects
from ott.lab import DBT, environment_without_settings
from ott.registry import COLUMNS, variables

AS_OF = datetime(2026, 1, 31)  # as the project's variable latest_timestamp
LEVEL = 0.95
POWER = variables()["power"]
BASELINE_RUNS = 20

RAW_EVENTS = "raw_compliance_events"
ACCEPTED_EVENTS = "int_checked_events"
TARGETS = (
    *("violation_associations", "compliance_by_member", "violation_trend"),
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
    folder: Path,
    project: Path = PROJECT,
    targets: Iterable[str] = TARGETS,
    settings: str = "{}",
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

    def load(self, events: pa.Table) -> None:
        """Replace the raw events by a table of text and run all models."""
        self._replace(RAW_EVENTS, events, "*")
        self._refill(self.models.values())

    def load_accepted(self, events: pa.Table) -> None:
        """Replace the events that were accepted by a table of typed ones and run what reads them.

        Reading and judging rows of text would take longer than all the statistics.
        """
        self._replace(
            ACCEPTED_EVENTS,
            events,
            '* exclude (timestamp), "timestamp" as occurred_at, "timestamp"::date as source_date',
        )
        changed, downstream = {ACCEPTED_EVENTS}, []
        for model in self.models.values():
            if changed & model.parents:
                changed.add(model.name)
                downstream.append(model)
        self._refill(downstream)

    def _replace(self, name: str, events: pa.Table, columns: str) -> None:
        self.connection.execute(f"delete from {self.relations[name]}")
        self.connection.execute(
            f"insert into {self.relations[name]} by name select {columns} from events"
        )

    def _refill(self, models: Iterable[Model]) -> None:
        execute = self.connection.execute
        for model in models:
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


# --- worlds --------------------------------------------------------------------------------------

MEMBERS = {
    "region": ("US", "EU", "ASIA", "LATAM", "AFRICA"),
    "regulation": ("GDPR", "CCPA", "PIPL", "LGPD", "PDPA"),
    "event_type": (
        *("login", "stream_start", "stream_pause", "stream_end", "download", "profile_update"),
    ),
    "data_shared": ("none", "partial", "full"),
    "status": ("compliant", "warning", "violation"),
}
# How often a member occurs, relative to the others; hours are quiet by night.
WEIGHTS = {
    "event_type": (1, 1, 1, 1, 1, 1),
    "data_shared": (7, 2, 1),
    "event_hour": tuple(10 - 8 * np.cos(2 * np.pi * (np.arange(24) - 3) / 24)),
}
REGION_WEIGHTS = (6, 5, 4, 3, 2)
STREAM_WEIGHTS = (10, 5, 2, 2, 1)
WARNING_RATE = 0.15  # of events that are no violations
TREND = ("trend", "")


def average_rate(log_odds: float, user_sd: float) -> float:
    """Return the expected rate over users whose effects are Normal(0, sd)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(weights @ (1 / (1 + np.exp(-log_odds - user_sd * nodes))) / weights.sum())


def log_odds_of(rate: float, user_sd: float = 0.0) -> float:
    """Return the log odds of a middling user at which `average_rate` is `rate`."""
    return brentq(lambda log_odds: average_rate(log_odds, user_sd) - rate, -50, 50)


def moving(draws: np.random.Generator, days: int, memory: float = 0.0) -> np.ndarray:
    """Return effects of days on the log odds of sd 0.3; a day keeps `memory` of the one before."""
    effects = draws.normal(0, 0.3, days)
    for day in range(1, days):
        effects[day] = memory * effects[day - 1] + (1 - memory**2) ** 0.5 * effects[day]
    return effects


def weekly(draws: np.random.Generator, days: int) -> np.ndarray:
    """Return effects of days that come back every week, of sd 0.3 from one weekday to the other."""
    return np.resize(draws.normal(0, 0.3, 7), days)


def one_bad_day(draws: np.random.Generator, days: int) -> np.ndarray:
    """Return effects of days of which one has 30 % violations in place of 5 %."""
    bad = log_odds_of(0.30) - log_odds_of(0.05)
    return bad * (np.arange(days) == draws.integers(1, days - 1))


@dataclass(frozen=True)
class World:
    """Where data sets come from. Everything that is not said has no effect.

    `promises` is what is to hold there. A user lives in one region, has one regulation and, with
    `pareto`, a share of the events that goes by a Pareto law of this exponent. The events of a
    session, whose number is drawn from `session`, fall on one day and have one outcome.
    `day_effects` draws what each day adds to the log odds, in all regions or in `bad_region`.
    `effects` are what members of columns add, and `mix_of_eu` the weights of EU's members.
    `planted` gets a difference: as large as data sets without it call detectable, or `difference`.
    `looks` are the days after which one looks, the last one if left out. Of `--runs`, one in
    `costs` is made.
    """

    description: str
    promises: tuple[Promise, ...]
    events: int = 5000
    days: int = 30
    rate: float = 0.05
    users: int = 200
    user_sd: float = 0.0
    pareto: float | None = None
    regions: tuple[int, ...] = REGION_WEIGHTS
    session: tuple[int, int] = (1, 1)
    day_effects: Callable[[np.random.Generator, int], np.ndarray] | None = None
    bad_region: str | None = None
    effects: Mapping[tuple[str, str], float] = field(default_factory=dict)
    mix_of_eu: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    planted: tuple[str, str] | None = None
    difference: float | None = None
    looks: range | None = None
    costs: int = 1

    def draw(self, seed: int, events: int, difference: float = 0.0) -> pa.Table:
        """Return that many events, in no order; `difference` is that of what is planted."""
        draws = np.random.default_rng(seed)
        base = log_odds_of(self.rate, self.user_sd)
        effects = dict(self.effects)
        if self.planted not in (None, TREND):
            raised = log_odds_of(self.rate + difference, self.user_sd)
            effects[self.planted] = effects.get(self.planted, 0.0) + raised - base

        # Of users: regions get the number that is due to them.
        users = np.arange(self.users)
        region_of = np.searchsorted(
            np.cumsum(self.regions) / sum(self.regions), (users + 0.5) / self.users
        )
        regulation_of = (region_of + draws.integers(0, 2, self.users)) % 5
        age_of = draws.integers(13, 75, self.users)
        share_of = draws.pareto(self.pareto, self.users) + 1 if self.pareto else np.ones(self.users)
        violating, warned = draws.normal(0, self.user_sd, (2, self.users))

        # Of sessions.
        lengths = draws.integers(self.session[0], self.session[1] + 1, events)
        lengths = lengths[: np.searchsorted(np.cumsum(lengths), events) + 1]
        session = np.repeat(np.arange(lengths.size), lengths)[:events]
        position = np.arange(events) - (np.cumsum(lengths) - lengths)[session]
        user = draws.choice(self.users, lengths.size, p=share_of / share_of.sum())[session]
        day = draws.integers(0, self.days, lengths.size)[session]
        hour = _pick(draws, WEIGHTS["event_hour"], lengths.size)
        start = (3600 * hour + draws.integers(0, 3600, lengths.size))[session]
        second = np.minimum(start + 300 * position, 86_399)
        chances = draws.random((2, lengths.size))[:, session]

        # Of events.
        codes = {"region": region_of[user], "regulation": regulation_of[user]}
        is_eu = codes["region"] == MEMBERS["region"].index("EU")
        for column in ("event_type", "data_shared"):
            codes[column] = _pick(draws, WEIGHTS[column], events)
            if column in self.mix_of_eu:
                others = _pick(draws, self.mix_of_eu[column], events)
                codes[column] = np.where(is_eu, others, codes[column])
        log_odds = base + violating[user]
        for (column, member), effect in effects.items():
            if column == "event_hour":
                log_odds += effect * (second // 3600 == int(member))
            else:
                log_odds += effect * (codes[column] == MEMBERS[column].index(member))
        if self.day_effects:
            is_there = self.bad_region is None or (
                codes["region"] == MEMBERS["region"].index(self.bad_region)
            )
            log_odds += is_there * self.day_effects(draws, self.days)[day]
        if self.planted == TREND:
            rates = self.rate + difference * (np.arange(self.days) - (self.days - 1) / 2) / 7
            log_odds += (np.log(rates / (1 - rates)) - base)[day]
        is_violation = chances[0] < 1 / (1 + np.exp(-log_odds))
        warning = log_odds_of(WARNING_RATE, self.user_sd) + warned[user]
        is_warning = chances[1] < 1 / (1 + np.exp(-warning))
        codes["status"] = np.where(is_violation, 2, is_warning)
        begin = np.datetime64(AS_OF - timedelta(days=self.days), "us")
        return pa.table(
            {
                "event_id": np.arange(events),
                "timestamp": begin + (86_400 * day + second) * np.timedelta64(1_000_000, "us"),
                "user_id": user,
                "user_age": age_of[user],
                "session_duration_minutes": draws.exponential(45, events),
                "concurrent_streams": 1 + _pick(draws, STREAM_WEIGHTS, events),
                **{
                    column: pa.DictionaryArray.from_arrays(numbers.astype(np.int8), MEMBERS[column])
                    for column, numbers in codes.items()
                },
            }
        )


def _pick(draws: np.random.Generator, weights: Sequence[float], size: int) -> np.ndarray:
    """Return numbers from 0 on, each as often as its weight says."""
    bounds = np.cumsum(weights) / np.sum(weights)
    return np.searchsorted(bounds[:-1], draws.random(size), side="right")


@dataclass(frozen=True)
class GeneratedWorld(World):
    """Events of the generator: those of the notebook, or with effects the realistic ones."""

    generator_effects: Effects | None = None

    def draw(self, seed: int, events: int, difference: float = 0.0) -> pa.Table:
        """Return that many events."""
        effects = self.generator_effects
        if effects is None:
            return generator.notebook_events(events, seed, AS_OF)
        chunks = generator.realistic_chunks(events, seed, AS_OF, events // 25, self.days, effects)
        return pa.concat_tables(chunks)


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


REALISTIC_TRUTH = expected_differences(REALISTIC_EFFECTS)

# --- what is read from the marts, and what is promised of it -------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What the marts say about one data set; pairs are hits and cases.

    `claims` are rows of a dimension, a member (none for the dimension as a whole), a verdict that
    says something, the difference and whether it stands without unusual days. `covered` counts
    intervals by dimension and whether the member is judged.
    """

    claims: set[tuple[str, str, str, float | None, bool | None]]
    warning_claims: set[tuple[str, str]]
    judged_dimensions: set[str]
    covered: dict[tuple[str, bool], tuple[int, int]]
    detectable: float | None
    days: tuple[int, int]
    has_confirmed_users: bool

    @property
    def dimensions(self) -> set[str]:
        """The dimensions that are found to differ, or of which a member is."""
        return {claim[0] for claim in self.claims if claim[2] == "differs"}

    def differs(self, *beside: str) -> bool:
        """Return whether anything is found to differ beside these dimensions."""
        return bool(self.dimensions - {*beside})

    def finds(self, dimension: str, member: str) -> bool:
        """Return whether a member's rate is found to be higher than that of the rest."""
        return any(
            claim[:3] == (dimension, member, "differs") and claim[3] > 0 for claim in self.claims
        )

    def intervals(self, *dimensions: str, judged: bool = False) -> tuple[int, int]:
        """Return how many intervals of these, or all, dimensions cover the rate, of how many."""
        counts = [
            count
            for (dimension, is_judged), count in self.covered.items()
            if (dimension in dimensions or not dimensions) and is_judged >= judged
        ]
        return tuple(map(sum, zip((0, 0), *counts, strict=True)))


@dataclass(frozen=True)
class Promise:
    """A statistic, how it is counted, and the range that its share is to lie in."""

    statistic: str
    count: Callable[[Outcome], bool | tuple[int, int]]
    least: float | None = None
    most: float | None = None


FALSE = 0.05
PLACES = ("region", "regulation", "region_and_regulation")
NOTHING = Promise("sets with any verdict `differs`", Outcome.differs, most=FALSE)
NO_WARNING = Promise(
    "sets with any such verdict of warnings", lambda one: bool(one.warning_claims), most=FALSE
)
NO_USER = Promise("sets with any user `confirmed`", lambda one: one.has_confirmed_users, most=FALSE)
NO_TREND = Promise("sets with a trend", lambda one: "trend" in one.dimensions, most=FALSE)
FLAGGED_DAYS = Promise("days out of control", lambda one: one.days)
NO_FLAG = Promise("sets with a day out of control", lambda one: one.days[0] > 0, most=0.1)
BAD_DAY = Promise("sets with a day out of control", lambda one: one.days[0] > 0, least=0.95)
DAYS_DIFFER = Promise("sets in which days differ", lambda one: "event_date" in one.dimensions)
COVERED = Promise("intervals that cover the true rate", Outcome.intervals, 0.94, 0.97)
COVERED_REGIONS = (
    Promise("intervals of regions that cover", lambda one: one.intervals("region"), 0.94, 0.97),
    Promise(
        "intervals of judged regions that cover",
        lambda one: one.intervals("region", judged=True),
        *(0.94, 0.97),
    ),
)
NULL = (NOTHING, NO_WARNING, NO_USER, FLAGGED_DAYS)


def nothing_beside(*dimensions: str) -> Promise:
    """Promise that nothing is found to differ but these dimensions, which do."""
    what = f"sets with any verdict `differs` but of {', '.join(dimensions)}"
    return Promise(what, lambda one: one.differs(*dimensions, "trend"), most=FALSE)


MOVING = (NO_TREND, nothing_beside("event_date"), NO_USER, DAYS_DIFFER, FLAGGED_DAYS, NO_FLAG)
LASTING = Promise(
    "sets with a verdict `differs` that stands without unusual days, but of days",
    lambda one: any(
        claim[2] == "differs" and claim[0] not in ("event_date", "trend") and claim[4]
        for claim in one.claims
    ),
    most=FALSE,
)
MIX = (
    Promise("sets in which a place differs", lambda o: bool(o.dimensions & {*PLACES}), most=FALSE),
    Promise(
        "sets in which region EU is explained by the mix",
        lambda one: any(row[:3] == ("region", "EU", "explained_by_mix") for row in one.claims),
    ),
)


def found(dimension: str, member: str, least: float | None, most: float | None = None) -> Promise:
    """Promise how often a difference is found, with its sign."""
    what = f"sets that find {dimension} {member}".rstrip()
    return Promise(what, lambda one: one.finds(dimension, member), least, most)


def _planted(what: str, dimension: str, member: str, user_sd: float = 0.5) -> World:
    return World(
        f"{what} differs by what is called detectable; users by sd {user_sd}",
        (found(dimension, member, POWER - 0.02, POWER + 0.05),),
        *(20_000, 30, 0.05, 800, user_sd),
        planted=(dimension, member),
    )


def _days(description: str, day_effects: Callable, promises: tuple[Promise, ...]) -> World:
    return World(description, promises, 20_000, users=4000, day_effects=day_effects)


def _rare(rate: float, events_a_day: int) -> World:
    return World(
        f"a rate of {rate:.1%}, {events_a_day} events a day",
        (NO_FLAG, FLAGGED_DAYS, NOTHING),
        *(30 * events_a_day, 30, rate, 3 * events_a_day),
    )


EVEN = (1,) * 5
USERS = (NOTHING, NO_WARNING, FLAGGED_DAYS)  # which users are confirmed may be right
REALISTIC = (
    *(found(*what, None) for what in (("region", "AFRICA"), ("region", "ASIA"))),
    found("data_shared", "full", None),
    Promise(
        "sets with any verdict `differs` of the wrong sign",
        lambda one: any(
            claim[2] == "differs" and claim[3] * truth < 0
            for claim in one.claims
            if claim[3] is not None and (truth := REALISTIC_TRUTH.get(claim[:2], 0.0))
        ),
    ),
    nothing_beside(*PLACES, "data_shared", "event_hour"),
)
WORLDS = {
    "null": World("nothing has an effect", (*NULL, COVERED)),
    "null-users-differ": World(
        "200 users differ, by sd 1 on the log odds", (*USERS, *COVERED_REGIONS), user_sd=1
    ),
    "many-users": World(
        "8000 users differ, by sd 1", (*USERS, *COVERED_REGIONS), 20_000, users=8000, user_sd=1
    ),
    "few-users": World("50 users differ, by sd 1", (*USERS, *COVERED_REGIONS), users=50, user_sd=1),
    **{
        f"nested-{users}": World(
            f"{users} users in each region differ, by sd 1",
            USERS,
            *(5000, 30, 0.05, 5 * users, 1.0),
            regions=EVEN,
        )
        for users in (3, 5, 10)
    },
    **{
        f"heavy-{pareto}": World(
            f"events per user go by Pareto's law {pareto}; users differ, by sd 1",
            *(USERS, 5000, 30, 0.05, 200, 1.0, pareto),
        )
        for pareto in (1.1, 1.5)
    },
    "sessions": World(
        "all 3 to 6 events of a session have its outcome; users are alike",
        (*NULL, *COVERED_REGIONS),
        session=(3, 6),
    ),
    "days-move": _days("days differ, by sd 0.3 on the log odds", moving, MOVING),
    "days-remember": _days(
        "the same, and a day keeps 0.8 of the one before", partial(moving, memory=0.8), MOVING
    ),
    "days-wander": _days("the same with 0.9", partial(moving, memory=0.9), MOVING),
    "weekly": _days(
        "weekdays differ, by sd 0.3 on the log odds",
        weekly,
        (NO_TREND, nothing_beside("event_date", "weekday"), NO_USER, DAYS_DIFFER, FLAGGED_DAYS),
    ),
    "one-bad-day": _days(
        "30 % violations on one day",
        one_bad_day,
        (NO_TREND, nothing_beside("event_date"), LASTING, BAD_DAY, FLAGGED_DAYS),
    ),
    "bad-day-of-region": World(
        "30 % violations on one day in ASIA",
        (NO_TREND, nothing_beside("event_date", *PLACES), LASTING, BAD_DAY, FLAGGED_DAYS),
        *(20_000, 30, 0.05, 4000),
        day_effects=one_bad_day,
        bad_region="ASIA",
    ),
    "mix": World(
        "EU downloads more, and downloads are riskier",
        MIX,
        *(20_000, 30, 0.05, 4000),
        effects={("event_type", "download"): 1.2},
        mix_of_eu={"event_type": (1, 1, 1, 1, 5, 1)},
    ),
    "mix-of-two": World(
        "EU downloads and shares more, and both are riskier; users differ, by sd 0.5",
        MIX,
        *(20_000, 30, 0.05, 800, 0.5),
        effects={("event_type", "download"): 1.0, ("data_shared", "full"): 0.7},
        mix_of_eu={"event_type": (1, 1, 1, 1, 3, 1), "data_shared": (4, 3, 3)},
    ),
    **{
        f"rate-{100 * rate:.1f}-{size}": _rare(rate, size)
        for rate in (0.001, 0.999)
        for size in (50, 150, 500)
    },
    "tiny": World(
        "ASIA is 0.1 percentage points above, 2 million events",
        (NOTHING,),
        *(2_000_000, 30, 0.05, 100_000),
        planted=("region", "ASIA"),
        difference=0.001,
        costs=25,
    ),
    "peeking": World(
        "a look every day for 84 days at 60 events a day; users are alike",
        *((NOTHING, NO_WARNING, NO_USER), 60 * 84, 84),
        looks=range(7, 85),
        costs=2,
    ),
    "peeking-users-differ": World(
        "the same; users differ, by sd 1",
        *((NOTHING, NO_WARNING), 60 * 84, 84, 0.05, 200, 1.0),
        looks=range(7, 85),
        costs=2,
    ),
    "planted-region": _planted("region ASIA", "region", "ASIA"),
    "planted-sharing": _planted("data sharing level full", "data_shared", "full"),
    "planted-hour": _planted("hour 20", "event_hour", "20"),
    "planted-hour-users-differ": _planted("hour 20", "event_hour", "20", 1.0),
    "planted-trend": World(
        "the rate rises by what is called detectable",
        (found(*TREND, POWER - 0.02, POWER + 0.05),),
        *(20_000, 30, 0.05, 4000),
        planted=TREND,
    ),
    "notebook": GeneratedWorld(
        "the committed kind of events, every column independent", (*NULL, COVERED)
    ),
    "realistic": GeneratedWorld(
        "the realistic events with all their effects",
        *(REALISTIC, 60_000),
        generator_effects=REALISTIC_EFFECTS,
    ),
}


@dataclass(frozen=True)
class DataSet:
    """What makes a data set."""

    world: str
    seed: int
    events: int
    difference: float = 0.0


def seed_of(seed: int, purpose: str, run: int) -> int:
    """Return a seed that hangs on nothing but the arguments."""
    sequence = np.random.SeedSequence([seed, *purpose.encode(), run])
    return int(sequence.generate_state(1)[0])


def _start_worker(project: CompiledProject) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the workers
    global _bench
    _bench = Bench(project)


def measure(data_set: DataSet) -> Outcome:
    """Run the models on a data set, as often as one looks at it, and read off what they claim."""
    world = WORLDS[data_set.world]
    events = world.draw(data_set.seed, data_set.events, data_set.difference)
    seen = []
    for days in world.looks or [world.days]:
        until = pa.scalar(AS_OF - timedelta(days=world.days - days), pa.timestamp("us"))
        _bench.load_accepted(events.filter(pc.less(events["timestamp"], until)))
        seen.append(read_outcome(_bench, world))
    last = seen[-1]
    return replace(
        last,
        claims=set().union(*(one.claims for one in seen)),
        warning_claims=set().union(*(one.warning_claims for one in seen)),
        judged_dimensions=set().union(*(one.judged_dimensions for one in seen)),
        has_confirmed_users=any(one.has_confirmed_users for one in seen),
    )


def read_outcome(bench: Bench, world: World) -> Outcome:
    """Return what the marts say of the data set that the models have run on."""
    members = bench.table("compliance_by_member")
    dimensions = [{"member": "", **row} for row in bench.table("violation_associations")]
    [trend] = bench.table("violation_trend")
    trend |= {"dimension": "trend", "member": "", "rate_difference": trend["change_per_week"]}
    rows = [
        row
        for row in (*members, *dimensions, trend)
        if row.get("outcome", "violation") == "violation"
    ]
    covered: dict[tuple[str, bool], tuple[int, int]] = {}
    is_known = bool({COVERED, *COVERED_REGIONS} & {*world.promises})
    for row in members:
        if is_known and row["events"] * world.rate >= 5 and row["dimension"] != "risk_tier":
            key = row["dimension"], row["verdict"] != "too_few"
            hits, cases = covered.get(key, (0, 0))
            is_hit = row["violation_rate_low"] <= world.rate <= row["violation_rate_high"]
            covered[key] = hits + is_hit, cases + 1
    [detectable] = [
        row.get("detectable_difference", row.get("detectable_change"))
        for row in rows
        if (row["dimension"], row["member"]) == (world.planted or TREND)
    ]
    days = [row["is_out_of_control"] for row in bench.table("violation_control_chart")]
    days = [is_out for is_out in days if is_out is not None]
    [(has_confirmed_users,)] = bench.rows(
        "select exists (from {dim_users} where risk_evidence = 'confirmed')"
    )
    return Outcome(
        {
            (
                *(row["dimension"], row["member"], row["verdict"]),
                *(row.get("rate_difference"), row.get("differs_without_unusual_days")),
            )
            for row in rows
            if row["verdict"] in ("differs", "explained_by_mix")
        },
        {
            (row["dimension"], row["member"])
            for row in (*members, *dimensions)
            if row.get("warning_verdict") == "differs"
            or (row.get("outcome") == "warning" and row["verdict"] == "differs")
        },
        {row["dimension"] for row in (*dimensions, trend) if row["verdict"] != "too_few"},
        covered,
        detectable,
        (sum(days), len(days)),
        has_confirmed_users,
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


def dimensions_of_world(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Return for each dimension how many runs judge it and find that it differs.

    And of its members' intervals, how many there are and how many `covered` the world's rate.
    """
    rows = []
    names = {name for one in outcomes for name, _ in one.covered}
    for name in sorted(names.union(*(one.judged_dimensions | one.dimensions for one in outcomes))):
        covered, members = map(sum, zip(*(one.intervals(name) for one in outcomes), strict=True))
        judged = sum(name in one.judged_dimensions for one in outcomes)
        differs = sum(name in one.dimensions for one in outcomes)
        row = {"dimension": name, "runs": len(outcomes), "judged": judged, "differs": differs}
        rows.append({**row, "covered": covered, "members": members})
    return rows


def calibrate(
    names: Sequence[str],
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
    number = {name: max(1, runs // WORLDS[name].costs) for name in names}
    searched = [name for name in names if WORLDS[name].planted and not WORLDS[name].difference]
    total = BASELINE_RUNS * len(searched) + sum(number.values())
    with (
        tempfile.TemporaryDirectory(prefix="calibrate-") as folder,
        tqdm(total=total, unit=" data sets", disable=None) as bar,
        ExitStack() as stack,
    ):
        initial = (compile_project(Path(folder), project, settings=settings),)
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, initial)
        stack.callback(pool.shutdown, cancel_futures=True)

        def measured(purpose: str, runs: int, difference: float) -> Iterator[Outcome]:
            seeds = [seed_of(seed, purpose, run) for run in range(runs)]
            size = events or WORLDS[name].events
            data_sets = [DataSet(name, own, size, difference) for own in seeds]
            for outcome in pool.map(measure, data_sets):
                bar.update()
                yield outcome

        differences, outcomes = {}, {}
        for name in names:
            difference = WORLDS[name].difference or 0.0
            if name in searched:
                baseline = measured(f"{name} baseline", BASELINE_RUNS, 0.0)
                difference = median(outcome.detectable for outcome in baseline)
                differences[name] = difference
            outcomes[name] = [*measured(name, number[name], difference)]
    return {
        "arguments": {
            **{"scenarios": list(names), "runs": runs, "events": events, "seed": seed},
            "vars": settings,
        },
        "planted_differences": differences,
        "shares": [
            {"scenario": name, "statistic": promise.statistic, **share}
            for name in names
            for promise in WORLDS[name].promises
            if (share := share_of(map(promise.count, outcomes[name]), promise.least, promise.most))
        ],
        "dimensions": {name: dimensions_of_world(outcomes[name]) for name in names},
    }


def as_markdown(result: dict) -> str:
    """Return the result as two Markdown tables."""
    planted = {
        name: f" (+{100 * difference:.2f} percentage points"
        + (" a week)" if WORLDS[name].planted == TREND else ")")
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
