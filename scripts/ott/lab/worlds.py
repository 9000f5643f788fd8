"""The worlds that the statistics are calibrated in, and what is promised there.

Nothing is shared with the generator of the seed, so that a mistake there cannot hide one in the
statistics; its own events are two worlds among the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.optimize import brentq

from ott.events import generator
from ott.registry import KNOWN_MEMBERS, known, variables

AS_OF = datetime(2026, 1, 31)  # as the project's variable latest_timestamp
POWER = variables()["power"]
TREND = ("trend", "")
PLACES = ("region", "regulation", "region_and_regulation")

# --- what is promised ----------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What a mart says of a member, or without one of the whole dimension."""

    dimension: str
    member: str
    verdict: str
    difference: float | None
    is_lasting: bool


@dataclass(frozen=True)
class Outcome:
    """What the marts say about one data set; pairs are hits and cases.

    `verdicts` are those of dimensions and trend, and of the members those that claim something.
    `covered` is how many intervals cover the true rate, by outcome and dimension. `detectable` is
    the difference that is called so for what the world plants.
    """

    verdicts: set[Verdict]
    covered: dict[tuple[str, str], tuple[int, int]]
    detectable: float | None
    days: tuple[int, int]
    has_confirmed_users: bool

    @property
    def judged(self) -> set[str]:
        """The dimensions that have enough events."""
        return {one[0] for one in self.verdicts if not one.member and one.verdict != "too_few"}

    def differ(self, verdict: str = "differs", *, lasting: bool = False) -> set[str]:
        """Return the dimensions that have this verdict, or of which a member has."""
        found = (one for one in self.verdicts if one.is_lasting >= lasting)
        return {one.dimension for one in found if one.verdict == verdict}

    def finds(self, *planted: str) -> bool:
        """Return whether a member's rate is found to be higher than that of the rest."""
        return any(one[:3] == (*planted, "differs") and one.difference > 0 for one in self.verdicts)


@dataclass(frozen=True)
class Promise:
    """A statistic, what counts for it (or hits and cases), and the range where it shall lie."""

    statistic: str
    count: Callable[[Outcome], bool | tuple[int, int]]
    least: float | None = None
    most: float | None = 0.05


def nothing_but(*dimensions: str, lasting: bool = False) -> Promise:
    """Promise that nothing differs but these dimensions, if any, and the trend beside them."""
    what = f"sets with any verdict `differs`{', unusual days aside' * lasting}"
    what += f", but of {', '.join(dimensions)}" * bool(dimensions)
    allowed = {*dimensions, "trend"} if dimensions else set()
    return Promise(what, lambda one: bool(one.differ(lasting=lasting) - allowed))


def found(*planted: str, least: float | None = None, most: float | None = None) -> Promise:
    """Promise how often a difference is found, with its sign."""
    what = f"sets that find {' '.join(planted)}".rstrip()
    return Promise(what, lambda one: one.finds(*planted), least, most)


def covers(outcome: str, dimension: str) -> Promise:
    """Promise how often an interval of a dimension's members covers the true rate."""
    what = f"intervals of {outcome} rates of {dimension} that cover the true one"
    return Promise(what, lambda one: one.covered.get((outcome, dimension), (0, 0)), 0.94, 0.97)


def flags(least: float | None = None, most: float | None = None) -> Promise:
    """Promise how many sets have a day out of control."""
    return Promise("sets with a day out of control", lambda one: one.days[0] > 0, least, most)


NO_WARNING = Promise(
    "sets with any such verdict of warnings", lambda one: bool(one.differ("differs in warnings"))
)
NO_USER = Promise("sets with any user `confirmed`", lambda one: one.has_confirmed_users)
NO_TREND = Promise("sets with a trend", lambda one: "trend" in one.differ())
NO_PLACE = Promise("sets in which a place differs", lambda one: bool(one.differ() & {*PLACES}))
EXPLAINED = Promise(
    "sets in which regions are explained by the mix",
    lambda one: "region" in one.differ("explained_by_mix"),
    most=None,
)
DAYS = Promise("days out of control", lambda one: one.days, most=None)
# Where users differ, one that is confirmed may well be worse than others.
USERS = (nothing_but(), NO_WARNING, DAYS)
NULL = (*USERS, NO_USER, covers("violation", "all"))
REGIONS = (covers("violation", "region"), covers("warning", "region"))
MOVING = (NO_TREND, nothing_but("event_date"), NO_USER, DAYS, flags(most=0.1))
BAD_DAY = (NO_TREND, nothing_but("event_date", lasting=True), flags(least=0.95))
RARE = (flags(most=0.05), DAYS, nothing_but())
LOOKS = (nothing_but(), NO_WARNING)
MIX = (NO_PLACE, EXPLAINED, found("event_type", "download", least=0.95))

# --- how a world is made -------------------------------------------------------------------------

MEMBERS = {**{name: known(name) for name in KNOWN_MEMBERS}, "event_hour": [*map(str, range(24))]}
# How often members occur, relative to the others; nights are quiet.
REGION_WEIGHTS = (6, 5, 4, 3, 2)
EVEN = (1, 1, 1, 1, 1)
SHARING_WEIGHTS = {"none": 7, "partial": 2, "full": 1}
HOUR_WEIGHTS = 10 - 8 * np.cos(2 * np.pi * (np.arange(24) - 3) / 24)
STREAM_WEIGHTS = (10, 5, 2, 2, 1)
WARNING_RATE = 0.15  # of the events that are no violations


def average_rate(log_odds: float, user_sd: float) -> float:
    """Return the expected rate over users whose effects are Normal(0, sd)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float(weights @ (1 / (1 + np.exp(-log_odds - user_sd * nodes))) / weights.sum())


def log_odds_of(rate: float, user_sd: float = 0.0) -> float:
    """Return the log odds of a middling user at which `average_rate` is `rate`."""
    return brentq(lambda log_odds: average_rate(log_odds, user_sd) - rate, -50, 50)


def moving(draws: np.random.Generator, days: int, memory: float = 0.0) -> np.ndarray:
    """Return effects of days on the log odds, of sd 0.3; a day keeps `memory` of the one before."""
    effects = draws.normal(0, 0.3, days)
    for day in range(1, days):
        effects[day] = memory * effects[day - 1] + (1 - memory**2) ** 0.5 * effects[day]
    return effects


def weekly(draws: np.random.Generator, days: int) -> np.ndarray:
    """Return effects of days that come back every week, of sd 0.3 from weekday to weekday."""
    return np.resize(draws.normal(0, 0.3, 7), days)


def one_bad_day(draws: np.random.Generator, days: int) -> np.ndarray:
    """Return effects of days of which one has 30 % violations in place of 5 %."""
    effect = log_odds_of(0.30) - log_odds_of(0.05)
    return effect * (np.arange(days) == draws.integers(1, days - 1))


@dataclass(frozen=True)
class World:
    """Where data sets come from. What is not said has no effect.

    A user has one region, drawn by the weights `regions`, and one regulation, and as many events
    as the others, or as Pareto's law of the exponent `pareto` says. The events of a session, from
    the first number of `session` to the second, fall on one day and have one outcome.
    `day_effects` draws what each day adds to the log odds, in all regions or in `bad_region`.
    `effects` is what members add, and `mix_of_eu` what weights members have there. `planted` gets a
    difference: `difference`, or what data sets without it call detectable. `generated` events are
    the generator's, `notebook` or `realistic`, in place of all that. Somebody `looks` after each of
    these days, or after the last one. Of the runs that are asked for, one in `cost` is made.
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
    mix_of_eu: Mapping[tuple[str, str], float] = field(default_factory=dict)
    planted: tuple[str, str] | None = None
    difference: float | None = None
    generated: str | None = None
    looks: Sequence[int] = ()
    cost: int = 1

    def rates(self) -> dict[str, float]:
        """Return the expected rates of outcomes, if they are those of every member."""
        if self.day_effects or self.effects or self.planted or self.generated == "realistic":
            return {}
        warnings = {} if self.generated else {"warning": WARNING_RATE * (1 - self.rate)}
        return {"violation": self.rate, **warnings}

    def draw(self, seed: int, events: int, difference: float = 0.0) -> pa.Table:
        """Return that many events, in no order, with what is planted at this difference."""
        if self.generated == "notebook":
            return generator.notebook_events(events, seed, AS_OF)
        if self.generated:
            sizes, effects = (events // 25, self.days), generator.REALISTIC_EFFECTS
            chunks = generator.realistic_chunks(events, seed, AS_OF, *sizes, effects)
            return pa.concat_tables(chunks)

        draws = np.random.default_rng(seed)
        base, effects = log_odds_of(self.rate, self.user_sd), dict(self.effects)
        if self.planted and self.planted != TREND:
            effects[self.planted] = log_odds_of(self.rate + difference, self.user_sd) - base

        # One entry a user; a region has as many as its weight says.
        users = np.arange(self.users)
        region = np.searchsorted(_bounds(self.regions), (users + 0.5) / self.users)
        regulation = (region + draws.integers(0, 2, self.users)) % 5
        age = draws.integers(13, 75, self.users)
        activity = draws.pareto(self.pareto, self.users) + 1 if self.pareto else users * 0 + 1
        violating, warned = draws.normal(0, self.user_sd, (2, self.users))

        # One entry a session, repeated for its events.
        lengths = draws.integers(self.session[0], self.session[1] + 1, events)
        session = np.repeat(np.arange(events), lengths)[:events]
        position = np.arange(events) - (np.cumsum(lengths) - lengths)[session]
        user = _pick(draws, activity, events)[session]
        day = draws.integers(0, self.days, events)[session]
        start = 3600 * _pick(draws, HOUR_WEIGHTS, events) + draws.integers(0, 3600, events)
        second = np.minimum(start[session] + 300 * position, 86_399)
        chance_of_violation, chance_of_warning = draws.random((2, events))[:, session]

        # One entry an event.
        codes = {"region": region[user], "regulation": regulation[user]}
        codes["event_hour"] = second // 3600
        is_eu = _is(codes, "region", "EU")
        for column, weights in (("event_type", {}), ("data_shared", SHARING_WEIGHTS)):
            usual = [weights.get(member, 1) for member in MEMBERS[column]]
            others = [self.mix_of_eu.get((column, member), 1) for member in MEMBERS[column]]
            in_eu = _pick(draws, np.multiply(usual, others), events)
            codes[column] = np.where(is_eu, in_eu, _pick(draws, usual, events))
        log_odds = base + violating[user]
        for member, effect in effects.items():
            log_odds += effect * _is(codes, *member)
        if self.day_effects:
            is_there = not self.bad_region or _is(codes, "region", self.bad_region)
            log_odds += is_there * self.day_effects(draws, self.days)[day]
        if self.planted == TREND:
            rates = self.rate + difference * (np.arange(self.days) - (self.days - 1) / 2) / 7
            rates = np.clip(rates, 1e-6, 1 - 1e-6)
            log_odds += (np.log(rates / (1 - rates)) - base)[day]
        is_violation = chance_of_violation < 1 / (1 + np.exp(-log_odds))
        warning = log_odds_of(WARNING_RATE, self.user_sd) + warned[user]
        is_warning = chance_of_warning < 1 / (1 + np.exp(-warning))
        status = np.where(is_violation, "violation", np.where(is_warning, "warning", "compliant"))

        begin = np.datetime64(AS_OF - timedelta(days=self.days), "us")
        columns = {
            "event_id": np.arange(events),
            "timestamp": begin + (86_400 * day + second) * np.timedelta64(1, "s"),
            "user_id": user,
            "status": status,
            "user_age": age[user],
            "session_duration_minutes": draws.exponential(45, events),
            "concurrent_streams": 1 + _pick(draws, STREAM_WEIGHTS, events),
        }
        for column in codes.keys() & {*KNOWN_MEMBERS}:
            columns[column] = pa.array(MEMBERS[column]).take(pa.array(codes[column]))
        return pa.table(columns)


def _bounds(weights: Sequence[float]) -> np.ndarray:
    """Return where the shares of members end, but for the last one."""
    return np.cumsum(weights)[:-1] / np.sum(weights)


def _pick(draws: np.random.Generator, weights: Sequence[float], size: int) -> np.ndarray:
    """Return numbers from 0 on, each as often as its weight says."""
    return np.searchsorted(_bounds(weights), draws.random(size), side="right")


def _is(codes: Mapping[str, np.ndarray], column: str, member: str) -> np.ndarray:
    return codes[column] == MEMBERS[column].index(member)


def _large(description: str, *promises: Promise, **more: Any) -> World:
    return World(description, promises, **{"events": 20_000, "users": 4000, **more})


def _planted(description: str, *planted: str, **more: Any) -> World:
    promise = found(*planted, least=POWER - 0.02, most=POWER + 0.05)
    more = {"users": 800, "user_sd": 0.5, **more, "planted": planted}
    return _large(f"{description} by what is called detectable", promise, **more)


def _looks(description: str, *promises: Promise, **more: Any) -> World:
    days = {"events": 60 * 84, "days": 84, "looks": range(7, 85), "cost": 4}
    return World(description, promises, **days, **more)


DOWNLOAD, SHARED = ("event_type", "download"), ("data_shared", "full")

WORLDS = {
    "null": World("nothing has an effect", NULL),
    "notebook": World("columns independent, as in the notebook", NULL, generated="notebook"),
    "null-users-differ": World("200 users differ, by sd 1", (*USERS, *REGIONS), user_sd=1),
    "null-users-few": World("50 users differ", (*USERS, *REGIONS), users=50, user_sd=1),
    "null-users-many": _large("8000 users differ", *USERS, *REGIONS, users=8000, user_sd=1),
    "null-users-nested-3": World("3 users a region", USERS, users=15, user_sd=1, regions=EVEN),
    "null-users-nested-5": World("5 users a region", USERS, users=25, user_sd=1, regions=EVEN),
    "null-users-nested-10": World("10 users a region", USERS, users=50, user_sd=1, regions=EVEN),
    "null-users-heavy-1.5": World("events by Pareto's law 1.5", USERS, user_sd=1, pareto=1.5),
    "null-users-heavy-1.1": World("events by Pareto's law 1.1", USERS, user_sd=1, pareto=1.1),
    "null-sessions": World("3 to 6 events with one outcome", (*NULL, *REGIONS), session=(3, 6)),
    "null-days-move": _large("days differ, by sd 0.3", *MOVING, day_effects=moving),
    "null-days-remember": _large("and keep 0.8", *MOVING, day_effects=partial(moving, memory=0.8)),
    "null-days-wander": _large("and keep 0.9", *MOVING, day_effects=partial(moving, memory=0.9)),
    "null-weekly": _large(
        "weekdays differ", NO_TREND, nothing_but("event_date", "weekday"), DAYS, day_effects=weekly
    ),
    "null-one-bad-day": _large(
        "30 % on one day", *BAD_DAY, nothing_but("event_date"), day_effects=one_bad_day
    ),
    "null-bad-day-of-region": _large(
        *("30 % on one day in ASIA", *BAD_DAY, nothing_but("event_date", *PLACES)),
        day_effects=one_bad_day,
        bad_region="ASIA",
    ),
    "null-rare-50": World("a rate of 0.1 %, 50 events a day", RARE, 1500, rate=0.001),
    "null-rare-500": World("a rate of 0.1 %, 500 events a day", RARE, 15_000, rate=0.001),
    "null-usual-50": World("a rate of 99.9 %, 50 events a day", RARE, 1500, rate=0.999),
    "null-usual-500": World("a rate of 99.9 %, 500 events a day", RARE, 15_000, rate=0.999),
    "null-looks": _looks("somebody looks every day for 84 days", *LOOKS, NO_USER),
    "null-looks-users-differ": _looks("and users differ", *LOOKS, user_sd=1),
    "mix": _large(
        "EU downloads more, which is worse", *MIX, effects={DOWNLOAD: 1.2}, mix_of_eu={DOWNLOAD: 5}
    ),
    "mix-of-two": _large(
        *("and shares more, which is, too; users differ, by sd 0.5", *MIX),
        **{"users": 800, "user_sd": 0.5},
        effects={DOWNLOAD: 1.0, SHARED: 0.7},
        mix_of_eu={DOWNLOAD: 4, SHARED: 8},
    ),
    "mix-and-region": _large(
        *("EU downloads more, and both are worse", found("region", "EU", least=0.95)),
        effects={DOWNLOAD: 1.2, ("region", "EU"): 0.5},
        mix_of_eu={DOWNLOAD: 5},
    ),
    "tiny": World(
        "region ASIA is 0.1 points above, 2 million events",
        (nothing_but(),),
        **{"events": 2_000_000, "users": 100_000, "cost": 20},
        **{"planted": ("region", "ASIA"), "difference": 0.001},
    ),
    "planted-region": _planted("region ASIA differs", "region", "ASIA"),
    "planted-sharing": _planted("data sharing level full differs", "data_shared", "full"),
    "planted-hour": _planted("hour 20 differs", "event_hour", "20"),
    "planted-hour-users-differ": _planted("and users more", "event_hour", "20", user_sd=1),
    "planted-trend": _planted("the rate rises", *TREND, users=4000, user_sd=0),
    "realistic": _large(
        "the realistic events with all their effects",
        *(found(*planted) for planted in (("region", "AFRICA"), ("region", "ASIA"))),
        *(found("data_shared", "full"), nothing_but(*PLACES, "data_shared", "event_hour")),
        **{"events": 60_000, "generated": "realistic"},
    ),
}
