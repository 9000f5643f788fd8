"""What the project's figures hang on besides the events: its variables, and the known members."""

from __future__ import annotations

import csv
import glob
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial

import jinja2
import yaml

from ott import PROJECT
from ott.events.generator import SCHEMA

SEEDS = PROJECT / "seeds"
MACROS = PROJECT / "macros"

COLUMNS = tuple(SCHEMA.names)
# The columns whose members a seed lists, with the seed.
KNOWN_MEMBERS = {
    "region": "regions",
    "regulation": "regulations",
    "event_type": "event_types",
    "status": "statuses",
    "data_shared": "data_sharing_levels",
}
UPPER_CASE = ("region", "regulation")
METRICS = (
    "is_violation",
    "session_duration_minutes",
    "concurrent_streams",
    "user_age",
    "event_hour",
)
BLANKS = " \t\n\r"


def tidy(column: str, text: str | None) -> str | None:
    """Return text as the members of a column are written; None where nothing is left of it."""
    stripped = (text or "").strip(BLANKS)
    return (stripped.upper() if column in UPPER_CASE else stripped.lower()) or None


@dataclass(frozen=True)
class Limits:
    """Which values are possible, both ends included: moments in UTC, years, minutes, streams."""

    earliest: datetime
    latest: datetime
    minimum_age: int
    maximum_age: int
    maximum_minutes: float
    maximum_streams: int


@cache
def variables() -> dict[str, object]:
    """Return the project's variables with their defaults."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    return project["vars"]


@cache
def limits() -> Limits:
    """Return the limits that the project's variables set."""
    chosen = variables()
    return Limits(
        datetime.fromisoformat(chosen["earliest_timestamp"]),
        datetime.fromisoformat(chosen["latest_timestamp"]),
        chosen["minimum_user_age"],
        chosen["maximum_user_age"],
        float(chosen["maximum_session_duration_minutes"]),
        chosen["maximum_concurrent_streams"],
    )


@cache
def seed(name: str) -> list[dict[str, str]]:
    """Return the rows of a seed in the order of the file, every value as text."""
    with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class _Answer(Exception):  # noqa: N818
    """How a macro returns what is no text, as in dbt."""


@cache
def registry(name: str) -> list[dict[str, object]]:
    """Return what a macro of macros/registry lists, in its order."""
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    texts = [file.read_text(encoding="utf-8") for file in (MACROS / "registry").glob("*.sql")]
    macros = re.findall(r"{% macro (\w+)\(.*?{%-? endmacro %}", "".join(texts), re.DOTALL)
    parts = re.finditer(r"{% macro .*?{%-? endmacro %}", "".join(texts), re.DOTALL)

    def answer(value: object) -> None:
        raise _Answer(value)

    def call(macro: str, template: jinja2.Template, *arguments: object) -> object:
        try:
            return getattr(template.module, macro)(*arguments)
        except _Answer as answered:
            return answered.args[0]

    environment.globals |= {"return": answer, "var": variables().get}
    for macro, part in zip(macros, parts, strict=True):
        template = environment.from_string(part[0])
        environment.globals[macro] = partial(call, macro, template)
    return environment.globals[name]()


@cache
def known(column: str) -> list[str]:
    """Return the known members of a column, in their order."""
    return [row[column] for row in seed(KNOWN_MEMBERS[column])]


def files(pattern: str) -> list[str]:
    """Return the files that a path or glob names, in order; raise FileNotFoundError for none."""
    found = sorted(glob.glob(pattern))
    if not found:
        raise FileNotFoundError(f"no file matches {pattern}")
    return found
