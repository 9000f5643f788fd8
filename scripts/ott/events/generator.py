"""Generate synthetic compliance events of a streaming platform, as CSV or Parquet.

The same arguments give the same rows, and with the same library versions the same bytes.
"""

import csv
import json
import math
from calendar import timegm
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import cycle, product
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from ott import OttError, WrongArgumentsError
from ott.files import whole_file
from ott.registry import OPTIONAL

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
EARLIEST = datetime(2000, 1, 1)  # the staging layer rejects what is older

REGIONS = ("US", "EU", "ASIA", "LATAM", "AFRICA")
REGION_SHARES = (0.35, 0.25, 0.20, 0.15, 0.05)
REGULATIONS = ("GDPR", "CCPA", "PIPL", "LGPD", "PDPA")
EVENT_TYPES = ("login", "stream_start", "stream_pause", "stream_end", "download", "profile_update")
STATUSES = ("compliant", "warning", "violation")
STATUS_SHARES = (0.80, 0.15, 0.05)
SHARING_LEVELS = ("none", "partial", "full")
SHARING_SHARES = (0.70, 0.20, 0.10)

CATEGORY = pa.dictionary(pa.int8(), pa.string())
MEMBERS = {
    "region": REGIONS,
    "regulation": REGULATIONS,
    "event_type": EVENT_TYPES,
    "status": STATUSES,
    "data_shared": SHARING_LEVELS,
}
SCHEMA = pa.schema(
    {
        "event_id": pa.int64(),
        "timestamp": pa.timestamp("us"),
        "user_id": pa.int64(),
        **dict.fromkeys(("region", "regulation", "event_type", "status"), CATEGORY),
        "user_age": pa.int32(),
        "session_duration_minutes": pa.float64(),
        "concurrent_streams": pa.int32(),
        "data_shared": CATEGORY,
    }
)
TEXT_SCHEMA = pa.schema({name: pa.string() for name in SCHEMA.names})

# --- the notebook's events -----------------------------------------------------------------------

NOTEBOOK_HOURS = 720


def notebook_events(events: int, seed: int, as_of: datetime) -> pa.Table:
    """Return the events of the notebook: every column drawn independently of all the others.

    They are those that the notebook draws after `np.random.seed(seed)` with `as_of` as its
    `datetime.now()`: a table of `SCHEMA`. Times are whole hours before `as_of` (0 to 719).
    """
    # The legacy generator, and the order of the draws, are what makes the values the notebook's.
    draws = np.random.RandomState(seed)
    hours = draws.randint(0, NOTEBOOK_HOURS, events, dtype=np.int64)
    return _table(
        event_id=np.arange(events),
        timestamp=timegm(as_of.timetuple()) - 3600 * hours,
        user_id=draws.randint(1000, 5000, events, dtype=np.int64),
        region=draws.choice(len(REGIONS), events, p=REGION_SHARES),
        regulation=draws.randint(0, len(REGULATIONS), events, dtype=np.int64),
        event_type=draws.randint(0, len(EVENT_TYPES), events, dtype=np.int64),
        status=draws.choice(len(STATUSES), events, p=STATUS_SHARES),
        user_age=draws.randint(13, 75, events, dtype=np.int64),
        session_duration_minutes=draws.exponential(45, events),
        concurrent_streams=draws.randint(1, 6, events, dtype=np.int64),
        data_shared=draws.choice(len(SHARING_LEVELS), events, p=SHARING_SHARES),
    )


def _table(**columns: np.ndarray) -> pa.Table:
    """Return a table of `SCHEMA` from numbers: category codes, and seconds since 1970."""
    columns["timestamp"] = columns["timestamp"] * 1_000_000
    arrays = [
        pa.DictionaryArray.from_arrays(columns[name].astype(np.int8), pa.array(MEMBERS[name]))
        if name in MEMBERS
        else pa.array(columns[name])
        for name in SCHEMA.names
    ]
    return pa.Table.from_arrays(arrays, SCHEMA.names).cast(SCHEMA)


# --- realistic events: users, sessions, traffic and a known violation model ----------------------


@dataclass(frozen=True)
class Effects:
    """The planted truth: what each property of an event adds to the log odds of a violation.

    Members that are left out have no effect. `event_hour` is by hour in UTC, from 0. The users' own
    effects are Normal(0, `user_effect_sd`). Raises ValueError for effects that would have none.
    """

    intercept: float
    region: Mapping[str, float] = field(default_factory=dict)
    data_shared: Mapping[str, float] = field(default_factory=dict)
    event_hour: tuple[float, ...] = (0.0,) * 24
    user_effect_sd: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would be ignored."""
        unknown = {*self.region} - {*REGIONS} | {*self.data_shared} - {*SHARING_LEVELS}
        if unknown:
            raise ValueError(f"no such region or sharing level: {', '.join(sorted(unknown))}")
        if len(self.event_hour) != 24:
            raise ValueError(f"event_hour needs 24 values, not {len(self.event_hour)}")
        if not self.user_effect_sd >= 0:
            raise ValueError(f"user_effect_sd must not be negative: {self.user_effect_sd}")


# Violations are about 5 % of all events, and 3.4 % of a middling US user's by day, nothing shared.
REALISTIC_EFFECTS = Effects(
    intercept=-3.35,
    region={"US": 0.0, "EU": 0.0, "ASIA": 0.3, "LATAM": 0.0, "AFRICA": 0.6},
    data_shared={"none": 0.0, "partial": 0.25, "full": 0.7},
    event_hour=(0.3,) * 6 + (0.0,) * 18,
    user_effect_sd=0.5,
)
NULL_EFFECTS = Effects(
    intercept=-2.9444389791664403,  # the log odds of 5 %
    region=dict.fromkeys(REGIONS, 0.0),
    data_shared=dict.fromkeys(SHARING_LEVELS, 0.0),
)
FORMULA = (
    "P(violation) = 1 / (1 + exp(-(intercept + region[region] + data_shared[data_shared] "
    "+ event_hour[hour of timestamp] + user_effect))), user_effect ~ Normal(0, user_effect_sd), "
    "one draw per user; an event that is no violation is a warning with probability "
    "warning_share, else compliant"
)
WARNING_SHARE = 0.15 / 0.95

FIRST_USER_ID = 1000
HEAVY_USERS = 0.20  # this share of the users, those with the lowest ids, ...
HEAVY_SESSIONS = 0.60  # ... starts this share of the sessions

# From 13 years on: few minors, most users from 18 to 34, fewer with every later age group.
AGE_WEIGHTS = np.repeat((2, 6, 4, 2, 1), (5, 17, 15, 15, 10))

REGULATIONS_OF_REGION = {
    **{"US": ("CCPA", "CCPA"), "EU": ("GDPR", "GDPR"), "ASIA": ("PIPL", "PDPA")},
    "LATAM": ("LGPD", "LGPD"),
    # None of the five laws is African: the platform extends the strictest regime it knows.
    "AFRICA": ("GDPR", "GDPR"),
}
REGULATION_CODES = np.array(
    [[REGULATIONS.index(law) for law in REGULATIONS_OF_REGION[region]] for region in REGIONS]
)

# Session starts per second are proportional to hour weight x weekday weight (Monday first).
HOUR_WEIGHTS = np.array(
    [30, 20, 12, 8, 6, 8, 14, 22, 28, 30, 32, 36, 42, 42, 40, 42, 48, 58, 72, 90, 100, 96, 76, 50]
)
WEEKDAY_WEIGHTS = np.array([10, 10, 10, 10, 12, 15, 15])
FIRST_WEEKDAY = 3  # 1 January 1970 was a Thursday

STREAM_WEIGHTS = (55, 25, 12, 5, 3)  # of 1 to 5 concurrent streams
MINIMUM_MINUTES = 1
# The rest of a session is the sum of two exponentials of this mean: 45 minutes in all.
EXPONENTIAL_MINUTES = 22

# Every course that a session can take, and its probability.
SESSION_COURSES, SESSION_WEIGHTS = [], []
for (update, update_share), (pauses, pause_share), (download, download_share) in product(
    (([], 0.90), (["profile_update"], 0.10)),
    ((0, 0.50), (1, 0.25), (2, 0.15), (3, 0.10)),
    (([], 0.85), (["download"], 0.15)),
):
    pause = ["stream_pause"] * pauses
    SESSION_COURSES.append(["login", *update, "stream_start", *pause, "stream_end", *download])
    SESSION_WEIGHTS.append(update_share * pause_share * download_share)
COURSE_LENGTHS = np.array([len(course) for course in SESSION_COURSES])
# All the courses in one row of codes; course c begins at COURSE_STARTS[c].
COURSE_STARTS = np.cumsum(COURSE_LENGTHS) - COURSE_LENGTHS
COURSE_CODES = np.array([EVENT_TYPES.index(kind) for course in SESSION_COURSES for kind in course])

CHUNK_SESSIONS = 1 << 15  # about 135,000 events: what is held in memory at a time


def realistic_chunks(
    events: int, seed: int, as_of: datetime, users: int, days: int, effects: Effects
) -> Iterator[pa.Table]:
    """Yield realistic events in the order of their sessions' starts: tables of `SCHEMA`.

    There are `users` users (not all need to appear) and exactly `events` rows, in the `days` that
    end at `as_of` and strictly before it: sessions that would run on are shortened, and the last
    one may lack its end. The sessions of a user may overlap, as those of a household do.

    Only uniforms are drawn, and turned into values by comparisons and exact arithmetic, so that
    the values do not hang on how numpy samples distributions. Where a logarithm, cosine or
    exponential is needed, its result is rounded or compared, which hides its last bit.
    """
    sessions, first_event = _sessions_needed(events, seed), 0
    end = timegm(as_of.timetuple())
    for chunk, first in enumerate(range(0, sessions, CHUNK_SESSIONS)):
        count = min(CHUNK_SESSIONS, sessions - first)
        draws, course = _open_chunk(seed, chunk)
        course = course[:count]

        # This chunk's slice of the window: the chunks follow each other without a sort of all.
        share_of_traffic = (first + count * np.sort(draws.random(count))) / sessions
        start = _start_seconds(share_of_traffic, end, days)
        user_id = FIRST_USER_ID + _user_numbers(draws.random(count), users)
        user = user_attributes(user_id, seed)
        rest = -np.log((1 - draws.random(count)) * (1 - draws.random(count)))
        minutes = MINIMUM_MINUTES + EXPONENTIAL_MINUTES * rest
        # Each is short enough to end in time.
        hundredths = np.minimum(np.rint(100 * minutes).astype(np.int64), (end - start - 1) * 5 // 3)
        streams = 1 + _pick(draws.random(count), STREAM_WEIGHTS)

        # From here on one entry is an event; `session` is the number of its session.
        length = COURSE_LENGTHS[course]
        session = np.repeat(np.arange(count), length)
        position = np.arange(session.size) - (np.cumsum(length) - length)[session]
        last = (length - 1)[session]
        # The first event marks the start and the last one the end. Those between fall within 0.4
        # steps of equal spacing: at least 0.2 steps apart, which is over a second even if the
        # longest course has only the least length. No two events of a session share a second.
        is_between = (position > 0) & (position < last)
        step = position + np.where(is_between, 0.8 * draws.random(session.size) - 0.4, 0)
        offset = (step / last * (hundredths * 3 // 5)[session]).astype(np.int64)
        timestamp = start[session] + offset
        data_shared = _pick(draws.random(session.size), SHARING_SHARES)
        log_odds = (
            effects.intercept
            + np.array([effects.region.get(name, 0.0) for name in REGIONS])[user["region"][session]]
            + effects.user_effect_sd * user["normal"][session]
            + np.array([effects.data_shared.get(name, 0.0) for name in SHARING_LEVELS])[data_shared]
            + np.array(effects.event_hour)[timestamp // 3600 % 24]
        )
        violation = 1 / (1 + np.exp(-log_odds))
        warning = violation + WARNING_SHARE * (1 - violation)
        chance = draws.random(session.size)

        yield _table(
            event_id=np.arange(first_event, first_event + session.size),
            timestamp=timestamp,
            user_id=user_id[session],
            region=user["region"][session],
            regulation=user["regulation"][session],
            event_type=COURSE_CODES[COURSE_STARTS[course][session] + position],
            status=(chance < violation).astype(np.int8) + (chance < warning),
            user_age=user["age"][session],
            session_duration_minutes=(hundredths / 100)[session],
            concurrent_streams=streams[session],
            data_shared=data_shared,
        ).slice(0, events - first_event)
        first_event += session.size


def user_attributes(user_ids: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return what stays the same for a user all life long, as a function of id and seed alone.

    Arrays as long as the ids: `age` in years, `region` and `regulation` (indices into `REGIONS` and
    `REGULATIONS`) and `normal`, the user's standard normal deviate.
    """
    uniforms = [_hashed_uniforms(user_ids, seed, purpose) for purpose in range(5)]
    region = _pick(uniforms[0], REGION_SHARES)
    return {
        "age": 13 + _pick(uniforms[1], AGE_WEIGHTS),
        "region": region,
        "regulation": REGULATION_CODES[region, _pick(uniforms[2], (1, 1))],
        # Box-Muller; 1 - u because u can be 0.
        "normal": np.sqrt(-2 * np.log(1 - uniforms[3])) * np.cos(2 * math.pi * uniforms[4]),
    }


def _hashed_uniforms(keys: np.ndarray, seed: int, purpose: int) -> np.ndarray:
    """Return a uniform in [0, 1) per key: a hash, so that no table of users has to be kept."""
    stream = _splitmix64(_splitmix64(np.array([seed], np.uint64)) + np.uint64(purpose))
    return (_splitmix64(stream + _splitmix64(keys.astype(np.uint64))) >> 11) * 2.0**-53


def _splitmix64(values: np.ndarray) -> np.ndarray:
    """Return the splitmix64 hash of 64-bit values (Steele, Lea and Flood, 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> 27)) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> 31)


def _open_chunk(seed: int, chunk: int) -> tuple[np.random.Generator, np.ndarray]:
    """Return a chunk's generator and its first draws, the courses of the chunk's sessions."""
    draws = np.random.Generator(np.random.PCG64([seed, chunk]))
    return draws, _pick(draws.random(CHUNK_SESSIONS), SESSION_WEIGHTS)


def _sessions_needed(events: int, seed: int) -> int:
    """Return how many sessions hold `events` events; the last one may hold more than needed."""
    sessions, chunk = 0, 0
    while events > 0:
        cumulated = np.cumsum(COURSE_LENGTHS[_open_chunk(seed, chunk)[1]])
        sessions += min(CHUNK_SESSIONS, int(np.searchsorted(cumulated, events)) + 1)
        events -= int(cumulated[-1])
        chunk += 1
    return sessions


def _start_seconds(shares: np.ndarray, as_of: int, days: int) -> np.ndarray:
    """Return the seconds since 1970 before which these shares of the window's traffic fall.

    Inverts the cumulated traffic, which grows evenly between full hours. Each second counts a
    whole number of units of traffic, so that nothing is rounded.
    """
    begin = as_of - days * 86400
    # Nothing starts so late that a session of the least length could not end before as_of.
    end = as_of - 2 * 60 * MINIMUM_MINUTES
    full_hours = 3600 * np.arange(begin // 3600 + 1, -(-end // 3600))
    edges = np.concatenate(([begin], full_hours, [end]))
    hour, weekday = edges[:-1] // 3600 % 24, (edges[:-1] // 86400 + FIRST_WEEKDAY) % 7
    units = HOUR_WEIGHTS[hour] * WEEKDAY_WEIGHTS[weekday]
    cumulated = np.concatenate(([0], np.cumsum(units * np.diff(edges))))
    # A share that rounds up to 1 belongs to the last second, not to the one after.
    wanted = np.minimum((shares * cumulated[-1]).astype(np.int64), cumulated[-1] - 1)
    piece = np.searchsorted(cumulated, wanted, side="right") - 1
    return edges[piece] + (wanted - cumulated[piece]) // units[piece]


def _user_numbers(uniforms: np.ndarray, users: int) -> np.ndarray:
    """Return who starts each session, as a number from 0 to `users` - 1."""
    heavy = max(1, int(users * HEAVY_USERS))
    number = np.where(
        uniforms < HEAVY_SESSIONS,
        uniforms / HEAVY_SESSIONS * heavy,
        heavy + (uniforms - HEAVY_SESSIONS) / (1 - HEAVY_SESSIONS) * (users - heavy),
    )
    return np.minimum(number.astype(np.int64), users - 1)


def _pick(uniforms: np.ndarray, weights: Iterable[float]) -> np.ndarray:
    """Return the index that each uniform selects when `weights` share out the unit interval."""
    cumulated = np.cumsum(weights)
    return np.searchsorted(cumulated[:-1] / cumulated[-1], uniforms, side="right")


# --- dirty events: the notebook's with known defects ---------------------------------------------

SEVERAL_DEFECTS = ("region_unknown", "status_unknown", "session_duration_minutes_negative")
PAIRS = ("event_id_conflicting", "exact copy")


def _bad_values(as_of: datetime) -> dict[str, tuple[str | None, ...]]:
    """Return, for each reason to reject a row, values of its column that give the reason."""
    second_later = (as_of + timedelta(seconds=1)).strftime(TIME_FORMAT)
    unreadable = ("31/01/2026 10:00", "2026-02-30 10:00:00", "2026-01-15", "yesterday")
    return {
        "event_id_not_an_integer": ("12.5", "abc", "1_000"),
        "timestamp_unreadable": unreadable,
        "timestamp_too_early": ("1970-01-01 00:00:00", "1999-12-31 23:59:59"),
        "timestamp_in_future": (second_later, "9999-12-31 23:59:59"),
        "user_id_not_an_integer": ("1234.5", "guest"),
        "region_unknown": ("OCEANIA", "U.S."),
        "regulation_unknown": ("HIPAA", "GDPR/CCPA"),
        "event_type_unknown": ("rewind", "stream"),
        "status_unknown": ("ok", "violations"),
        "user_age_not_an_integer": ("25.5", "young"),
        "user_age_out_of_range": ("-1", "121"),
        "session_duration_minutes_not_a_number": ("1,5", "1e3x", "0x10", "12 min"),
        "session_duration_minutes_not_finite": ("nan", "inf", "-inf"),
        "session_duration_minutes_negative": ("-0.5", "-45"),
        "session_duration_minutes_too_long": ("44640.5", "1" + "0" * 200),
        "concurrent_streams_not_an_integer": ("2.5", "two"),
        "concurrent_streams_negative": ("-1", "-3"),
        "concurrent_streams_too_many": ("101", str(2**63 - 1)),
        "data_shared_unknown": ("some", "all"),
        **{f"{column}_missing": (None,) for column in SCHEMA.names if column not in OPTIONAL},
    }


def dirty_events(events: int, seed: int, as_of: datetime, rate: float) -> tuple[pa.Table, dict]:
    """Return the notebook's events as text with defects, and what must become of the rows.

    A share `rate` of the rows is touched, and every kind of defect gets as many cases as
    any other (one more or less). A case touches one row; a conflict and an exact copy touch two, of
    which the second is overwritten. The table is of `TEXT_SCHEMA`, with null for what is missing.
    """
    columns = as_text(notebook_events(events, seed, as_of)).to_pydict()
    bad_values = _bad_values(as_of)
    order = np.random.Generator(np.random.PCG64(seed)).random(events).argsort(kind="stable")
    touched = order[: round(rate * events)].tolist()
    cases: Counter[str] = Counter()
    rejections = Counter({code: 0 for code in (*bad_values, "event_id_conflicting")})

    kinds = cycle((*bad_values, *PAIRS, "several defects", "untidy", *OPTIONAL))
    while touched:
        kind = next(kinds)
        if kind in PAIRS and len(touched) == 1:
            continue
        row = touched.pop()
        if kind in PAIRS:
            copy = touched.pop()
            for values in columns.values():
                values[copy] = values[row]
            if kind == "event_id_conflicting":
                columns["status"][copy] = STATUSES[STATUSES.index(columns["status"][row]) - 1]
                rejections[kind] += 2
        elif kind == "untidy":
            for name in MEMBERS:
                columns[name][row] = f" {columns[name][row].swapcase()}\t"
        elif kind in OPTIONAL:
            columns[kind][row] = None
        else:
            for code in SEVERAL_DEFECTS if kind == "several defects" else (kind,):
                column = next(name for name in SCHEMA.names if code.startswith(f"{name}_"))
                values = bad_values[code]
                columns[column][row] = values[cases[code] % len(values)]
                rejections[code] += 1
        cases[kind] += 1

    copies = cases["exact copy"]
    incomplete = sum(cases[name] for name in OPTIONAL)
    quarantined = (
        cases.total() + cases["event_id_conflicting"] - copies - cases["untidy"] - incomplete
    )
    return pa.table(columns, schema=TEXT_SCHEMA), {
        "rows": events,
        "accepted": events - quarantined - copies,
        "quarantined": quarantined,
        "exact_copies_dropped": copies,
        "untidy_rows_accepted": cases["untidy"],
        "incomplete_rows_accepted": incomplete,
        "rejections": dict(rejections),
    }


# --- files ---------------------------------------------------------------------------------------


def as_text(table: pa.Table) -> pa.Table:
    """Return a table of `SCHEMA` as text: UTC without zone, the shortest decimals that tell all."""
    minutes = table["session_duration_minutes"]
    values = minutes.unique()
    decimals = [np.format_float_positional(value, trim="0") for value in values.to_pylist()]
    texts = pa.array(decimals, pa.string()).take(pc.index_in(minutes, values))
    times = table["timestamp"].cast(pa.timestamp("s"))
    for name, column in (("session_duration_minutes", texts), ("timestamp", times)):
        table = table.set_column(SCHEMA.get_field_index(name), name, column)
    return table.cast(TEXT_SCHEMA)


def write_events(chunks: Iterable[pa.Table], schema: pa.Schema, path: Path, kind: str) -> None:
    """Write tables of one schema to a `csv` or `parquet` file."""
    if kind == "parquet":
        # Without the Arrow schema every reader sees text, not Arrow's dictionaries.
        categories = [name for name in schema.names if name not in ("event_id", "timestamp")]
        with pq.ParquetWriter(path, schema, store_schema=False, use_dictionary=categories) as file:
            for chunk in chunks:
                file.write_table(chunk)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(schema.names)
            for chunk in chunks:
                text = chunk if schema == TEXT_SCHEMA else as_text(chunk)
                writer.writerows(zip(*text.to_pydict().values(), strict=True))


def truth_path(output: Path) -> Path:
    """Return where the known truth of an events file is written: beside it."""
    return output.with_name(f"{output.stem}.truth.json")


# --- from a choice to a file ---------------------------------------------------------------------

OPTIONS_OF_SCENARIO = {
    "notebook": (),
    "realistic": ("users", "days", "user_effect_sd"),
    "null": ("users", "days", "user_effect_sd"),
    "dirty": ("defect_rate",),
}
EFFECTS_OF_SCENARIO = {"realistic": REALISTIC_EFFECTS, "null": NULL_EFFECTS}


@dataclass(frozen=True)
class Choice:
    """What to generate and where to; None stands for a default that hangs on the rest."""

    scenario: str
    events: int
    seed: int
    as_of: datetime
    output: Path
    format: str | None
    users: int | None
    days: int | None
    user_effect_sd: float | None
    defect_rate: float | None

    def completed(self) -> Self:
        """Return the choice with its defaults; raises WrongArgumentsError if it makes no sense."""
        own = OPTIONS_OF_SCENARIO[self.scenario]
        effects = EFFECTS_OF_SCENARIO.get(self.scenario, NULL_EFFECTS)
        users = max(1, self.events // 25)
        defaults = {"users": users, "days": 30, "defect_rate": 0.05}
        defaults["user_effect_sd"] = effects.user_effect_sd
        for name in defaults:
            if name not in own and getattr(self, name) is not None:
                raise WrongArgumentsError(
                    f"--{name.replace('_', '-')} does not apply to --scenario {self.scenario}: "
                    "leave it out"
                )
        # The last year is out, so that the dirty scenario has a future to write.
        if not EARLIEST < self.as_of < datetime(9999, 1, 1):
            raise WrongArgumentsError(f"--as-of: give a time after {EARLIEST}, not {self.as_of}")
        missing = {name: defaults[name] for name in own if getattr(self, name) is None}

        suffix = self.output.suffix.lower()
        expected = {"": self.format or "csv", ".csv": "csv", ".parquet": "parquet"}.get(suffix)
        if not (self.format or expected):
            raise WrongArgumentsError(
                f"--output ends in {suffix!r}: end it in .csv or .parquet, or add --format"
            )
        if self.format and expected and self.format != expected:
            raise WrongArgumentsError(
                f"--format {self.format} contradicts --output {self.output.name}: "
                f"end the output in .{self.format}"
            )
        # A link stays a link: what it points to is replaced.
        output = self.output.resolve()
        chosen = replace(self, **missing, format=self.format or expected, output=output)
        days = chosen.days or NOTEBOOK_HOURS // 24
        if self.as_of - timedelta(days=days) < EARLIEST:
            raise WrongArgumentsError(
                f"the {days} days before --as-of begin before {EARLIEST}: give a later "
                f"--as-of{' or fewer --days' if 'days' in own else ''}"
            )
        if not output.parent.is_dir():
            raise WrongArgumentsError(f"folder {output.parent} does not exist: create it first")
        if output.exists() and not output.is_file():
            raise WrongArgumentsError(f"{output} is not a regular file: choose another --output")
        return chosen


def _events_of(choice: Choice) -> tuple[Iterable[pa.Table], pa.Schema, dict[str, object] | None]:
    """Return the chosen events, their schema and, where there is one to tell, the truth."""
    basics = (choice.events, choice.seed, choice.as_of)
    if choice.scenario == "notebook":
        return [notebook_events(*basics)], SCHEMA, None
    names = ("events", "seed", "as_of", *OPTIONS_OF_SCENARIO[choice.scenario])
    arguments = {name: getattr(choice, name) for name in names}
    truth = {"scenario": choice.scenario, "arguments": arguments}
    if choice.scenario == "dirty":
        table, outcome = dirty_events(*basics, choice.defect_rate)
        return [table], TEXT_SCHEMA, truth | outcome
    effects = replace(EFFECTS_OF_SCENARIO[choice.scenario], user_effect_sd=choice.user_effect_sd)
    truth |= {"formula": FORMULA, "effects": asdict(effects), "warning_share": WARNING_SHARE}
    return realistic_chunks(*basics, choice.users, choice.days, effects), SCHEMA, truth


def _watched(chunks: Iterable[pa.Table], events: int) -> Iterator[pa.Table]:
    with tqdm(total=events, unit=" events", unit_scale=True, disable=None) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(chunk.num_rows)


def generate(choice: Choice) -> list[Path]:
    """Write the chosen events, and what is known about them, or nothing; return the files."""
    choice = choice.completed()
    beside = truth_path(choice.output)
    try:
        chunks, schema, truth = _events_of(choice)
        with whole_file(choice.output) as unfinished:
            write_events(_watched(chunks, choice.events), schema, unfinished, choice.format)
            # The old truth goes just before the new data come, the new truth just after: a run that
            # is killed in between leaves data without a truth, never with that of other data.
            beside.unlink(missing_ok=True)
        if truth is None:
            return [choice.output]
        with whole_file(beside) as unfinished:
            text = json.dumps(truth, indent=2, sort_keys=True, default=str)
            unfinished.write_text(f"{text}\n", encoding="utf-8", newline="\n")
    except OSError as error:
        raise OttError(f"cannot write {choice.output}: {error}; choose another --output") from error
    except MemoryError:
        problem = f"too many events for --scenario {choice.scenario}: lower --events"
        raise OttError(problem) from None
    return [choice.output, beside]
