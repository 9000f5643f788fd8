"""What the models are told and do not find out: the registry, the variables, the known members."""

import csv
import re
from functools import cache, partial

import jinja2
import yaml

from ott import PROJECT

SEEDS = PROJECT / "seeds"
MACROS = PROJECT / "macros" / "registry"
BLANKS = " \t\n\r"


@cache
def variables() -> dict[str, object]:
    """Return the project's variables with their defaults."""
    project = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    return project["vars"]


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
    text = "".join(file.read_text(encoding="utf-8") for file in MACROS.glob("*.sql"))

    def answer(value: object) -> None:
        raise _Answer(value)

    def call(macro: str, template: jinja2.Template, *arguments: object) -> object:
        try:
            return getattr(template.module, macro)(*arguments)
        except _Answer as answered:
            return answered.args[0]

    environment.globals |= {"return": answer, "var": variables().get}
    for part in re.finditer(r"{% macro (\w+)\(.*?{%-? endmacro %}", text, re.DOTALL):
        template = environment.from_string(part[0])
        environment.globals[part[1]] = partial(call, part[1], template)
    return environment.globals[name]()


COLUMNS = tuple(column["name"] for column in registry("event_columns"))
METRICS = tuple(registry("event_metrics"))
# The columns of an event of which a seed lists the members.
KNOWN_MEMBERS = [entry["name"] for entry in registry("event_columns") if entry["kind"] == "member"]
# Those that an event can be without.
OPTIONAL = [entry["name"] for entry in registry("event_columns") if not entry["is_required"]]
# The columns that make the members of each tested dimension.
DIMENSIONS = {entry["dimension"]: entry["columns"] for entry in registry("tested_dimensions")}


@cache
def known(column: str) -> list[str]:
    """Return the known members of a column, in their order."""
    entries = [*registry("event_columns"), *registry("dimensions")]
    (name, *_) = [
        entry["seed"]
        for entry in entries
        if column in (entry.get("name"), entry.get("dimension")) and "seed" in entry
    ]
    return [row[column] for row in seed(name)]
