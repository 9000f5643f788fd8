"""Look at a source before anything is built: what is there, which settings fit, what is rejected.

The rows are judged by the macros that judge those of a build, in a database of their own. Nothing
is printed that may be personal: examples stand with `a` for letters and `9` for digits.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import yaml

import ott
from ott import OttError, source
from ott.copies import name, text
from ott.registry import registry, variables

ROWS = 10_000
# What platforms call the columns of an event, in small letters without anything between them; the
# likelier names first.
SYNONYMS = {
    "event_id": "eventid messageid insertid eventuuid uuid viewid hitid id",
    "timestamp": "timestamp eventtimestamp eventtime occurredat originaltimestamp derivedtstamp"
    " collectortstamp createdat sentat receivedat datetime time ts",
    "user_id": "userid distinctid anonymousid userpseudoid domainuserid customerid accountid"
    " profileid subscriberid vieweruserid",
    "region": "region georegion market territory country countrycode geocountry",
    "regulation": "regulation law privacylaw legalregime jurisdiction",
    "event_type": "eventtype eventname event action activity verb type name",
    "status": "status compliancestatus outcome result decision verdict",
    "user_age": "userage age ageyears",
    "session_duration_minutes": "sessiondurationminutes durationminutes sessionminutes minutes",
    "concurrent_streams": "concurrentstreams streams activestreams streamcount simultaneousstreams",
    "data_shared": "datashared datasharing sharinglevel sharing datasharinglevel",
}
# Of durations in other units, what to divide by.
DURATIONS = {
    "durationms sessiondurationms playtimems watchtimems engagementtimemsec": 60_000,
    "durationseconds sessiondurationseconds durations durationsec watchtime playtime"
    " sessionduration duration sessionlength": 60,
}
# What platforms call the outcomes of a check.
STATUSES = {
    "compliant": "compliant ok okay pass passed success allowed allow granted approved valid",
    "warning": "warning warn review flagged pending suspicious",
    "violation": "violation breach fail failed failure denied deny blocked block rejected invalid",
}
TIMESTAMP_FORMATS = [
    *(f"{day}{clock}" for day in ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d")
      for clock in (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")),
    "%a %b %d %Y %H:%M:%S GMT%z", "%a, %d %b %Y %H:%M:%S GMT", "%d/%b/%Y:%H:%M:%S %z",
]  # fmt: skip
MEANINGS = {word: status for status, words in STATUSES.items() for word in words.split()}
REASONS = {reason["rejection_reason"]: reason for reason in registry("rejection_reasons")}


def check_source(settings: dict[str, Any], paths: Sequence[str] = ()) -> Iterator[str]:
    """Yield lines about the source that paths or settings name, beside those of dbt_project.yml.

    Raises OttError when the source cannot be read at all, or nobody can tell what to read.
    """
    settings = {**variables(), **settings}
    if paths:
        settings["events_source"] = paths[0] if len(paths) == 1 else [*paths]
    if settings["events_source"] == "seed":
        raise OttError(
            "The var events_source is `seed`, whose form is fixed. Name a source, as in"
            " `ott check-source 'data/**/*.parquet'`."
        )
    with duckdb.connect() as connection, Judge() as judge:
        sample = Sample(connection, settings)
        proposed = sample.guessed_columns()
        notes: list[str] = []
        # One setting can show what the next one must be.
        for _ in range(3):
            judged = judge(settings | proposed)
            more = sample.mended(judged, settings | proposed, notes)
            if not more:
                break
            proposed |= more
        yield from sample.described(judged, settings | proposed)
        yield from rejected(judged)
    yield from [*judged["notes"], *notes]
    if paths:
        proposed = {"events_source": settings["events_source"], **proposed}
    yield from advice(proposed)


class Sample:
    """The first rows of a source, in the table `sample` of a connection, with all its columns."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: dict[str, Any]) -> None:
        """Read them, in whatever form the settings or the files tell."""
        self.connection = connection
        self.settings = settings
        connection.execute(f"set file_search_path = {text(str(ott.home))}; set TimeZone = 'UTC'")
        events_source, form = settings["events_source"], settings["events_format"]
        if isinstance(events_source, dict):
            query = events_source.get("sql")
            if query is None:
                database = text(str(ott.home / events_source["database"]))
                connection.execute(f"attach {database} as platform (read_only)")
                table = (events_source[part] for part in ("schema", "table"))
                query = f"from platform.{'.'.join(map(name, table))}"
            query = f"({query.strip().rstrip(';')})"
            events = source.EventQuery(
                connection, query, source.Wanted([]), "The var events_source"
            )
        else:
            form = {"type": form} if isinstance(form, str) else form
            wanted = source.Wanted([], everything=True)
            events = source.EventFiles(connection, events_source, wanted, form)
        with source.explained(str(events_source)):
            columns = "* exclude (ott_file)" if isinstance(events, source.EventFiles) else "*"
            connection.execute(
                f"create temp table sample as select {columns} from {events.query} limit {ROWS}"
            )
        table = connection.sql("from sample")
        self.paths = dict(
            path
            for column, kind in zip(table.columns, table.types, strict=True)
            for path in paths(column, kind)
        )

    def source_of(self, column: str, settings: dict[str, Any]) -> str | None:
        """Return SQL for a column of an event over the sample, none if it is absent."""
        sources = {**self.preset, **settings["events_dimensions"], **settings["events_columns"]}
        told = sources.get(column, column)
        if isinstance(told, dict):
            return told["sql"]
        return None if told in (None, "absent") else sql_of(told, self.paths)

    @property
    def preset(self) -> dict[str, Any]:
        """What the preset says of columns."""
        presets = registry("event_presets")
        return presets.get(self.settings["events_preset"], {}).get("columns", {})

    def guessed_columns(self) -> dict[str, Any]:
        """Return the settings by which columns of an event are found that nobody named."""
        told = self.settings["events_columns"]
        by_word: dict[str, str] = {}
        for path in sorted(self.paths, key=lambda path: path.count(".")):
            for words in (path, path.rpartition(".")[2]):
                by_word.setdefault(re.sub(r"[^a-z0-9]", "", words.lower()), path)
        columns = {}
        for column, synonyms in SYNONYMS.items():
            if column in {*told, *self.preset, *self.paths}:
                continue
            found = [by_word[word] for word in synonyms.split() if word in by_word]
            if column == "session_duration_minutes":
                found += [
                    {"sql": f"{sql_of(by_word[word], self.paths)} / {divisor}.0"}
                    for words, divisor in DURATIONS.items()
                    for word in words.split()
                    if word in by_word
                ]
            if not found and column in ("timestamp", "status"):
                raise OttError(
                    f"No column of the source is called like the {column} of an event. It has:"
                    f" {', '.join(self.paths)}. Say which one it is in the var events_columns"
                    f" ({column}: ..., or {column}: {{sql: ...}}), and check again."
                )
            columns[column] = found[0] if found else "absent"
        return {"events_columns": {**told, **columns}} if columns else {}

    def mended(
        self, judged: dict[str, Any], settings: dict[str, Any], notes: list[str]
    ) -> dict[str, Any]:
        """Return further settings, for reasons that many rows are rejected for."""
        more: dict[str, Any] = {}
        form = settings["events_format"]
        form = {"type": form} if isinstance(form, str) else form
        for reason, count in judged["reasons"].items():
            column = REASONS[reason]["column_name"]
            shapes = self.shapes(column, settings)
            if column in ("event_id", "user_id") and REASONS[reason]["condition"] == "unreadable":
                if not any(re.fullmatch(r"9\.9a\+?9", shape) for shape in shapes):
                    more[f"{column}_type"] = "varchar"
            elif reason == "status_unknown":
                more |= self.translated_status(settings)
            elif count < judged["rows"] / 2:
                continue
            elif reason == "timestamp_in_future":
                more["latest_timestamp"] = "now"
            elif reason == "timestamp_unreadable" and "timestampformat" not in form:
                fitting = self.fitting_formats(column, settings)
                if len(fitting) == 1:
                    more["events_format"] = {**form, "timestampformat": fitting[0]}
                elif fitting:
                    notes.append(
                        f"The timestamps fit {' and '.join(fitting)}: say in the var events_format"
                        " which one is right, as {timestampformat: ...}."
                    )
            elif any(re.fullmatch(r"-?9(\.9)*,9", shape) for shape in shapes):
                more["events_format"] = {**form, "decimal": ",", "thousands": "."}
            elif any(re.fullmatch(r"-?9(,9)+\.9", shape) for shape in shapes):
                more["events_format"] = {**form, "thousands": ","}
        return {key: value for key, value in more.items() if settings.get(key) != value}

    def shapes(self, column: str, settings: dict[str, Any]) -> list[str]:
        """Return the commonest shapes of a column: `9` for digits, `a` for letters."""
        expression = self.source_of(column, settings)
        if expression is None:
            return []
        shapes = self.connection.execute(
            "select regexp_replace(regexp_replace(value, '[0-9]+', '9', 'g'), '\\p{L}+', 'a', 'g')"
            f" from (select cast({expression} as varchar) as value from sample)"
            " where value is not null group by all order by count(*) desc, 1 limit 5"
        ).fetchall()
        return [shape for (shape,) in shapes]

    def fitting_formats(self, column: str, settings: dict[str, Any]) -> list[str]:
        """Return the formats that read all timestamps of the sample."""
        value = f"cast({self.source_of(column, settings)} as varchar)"
        fits = ", ".join(
            f"count(try_strptime({value}, {text(form)})) = count({value})"
            for form in TIMESTAMP_FORMATS
        )
        (found,) = self.connection.execute(f"select {fits} from sample").fetchall()
        return [form for form, fit in zip(TIMESTAMP_FORMATS, found, strict=True) if fit]

    def translated_status(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return SQL for the status, if the platform uses words whose meaning is plain."""
        column = self.source_of("status", settings)
        found = self.connection.execute(
            f"select distinct lower(trim(cast({column} as varchar))) from sample limit 20"
        ).fetchall()
        words = {word: MEANINGS[word] for (word,) in found if word in MEANINGS.keys() - STATUSES}
        if not words or column.startswith("case lower("):
            return {}
        value = f"lower(trim(cast({column} as varchar)))"
        cases = " ".join(f"when '{word}' then '{status}'" for word, status in words.items())
        sql = f"case {value} {cases} else {value} end"
        return {"events_columns": {**settings["events_columns"], "status": {"sql": sql}}}

    def described(self, judged: dict[str, Any], settings: dict[str, Any]) -> Iterator[str]:
        """Yield a table of the columns of an event and what the source has for them."""
        yield f"The first {judged['rows']:,} rows of the source:\n"
        yield f"{'column':25} {'read from':34} {'type':12} {'missing':>8} {'unread':>7}  looks like"
        for column, found in judged["columns"].items():
            told = self.source_of(column, settings) or "absent"
            rows = judged["rows"] or 1
            unread = found["present"] - found["readable"]
            yield (
                f"{column:25} {told[:34]:34} {found['type'][:12]:12}"
                f" {1 - found['present'] / rows:>8.1%} {unread / rows:>7.1%}"
                f"  {', '.join(self.shapes(column, settings)[:2])[:40]}"
            )
        yield ""


def paths(column: str, kind: Any) -> Iterator[tuple[str, str]]:
    """Yield a column and, of objects, the fields within it, with their types."""
    yield column, str(kind)
    if kind.id == "struct":
        for child, child_kind in kind.children:
            yield from paths(f"{column}.{child}", child_kind)


def sql_of(path: str, known: dict[str, str]) -> str:
    """Return a column, or a path to a field in one, as SQL."""
    parts = path.split(".") if path.partition(".")[0] in known else [path]
    plain = re.compile("[a-z_][a-z0-9_]*")
    return ".".join(part if plain.fullmatch(part) else name(part) for part in parts)


def unseen_changes(settings: dict[str, Any]) -> Iterator[str]:
    """Yield lines on the files that hold other rows than when a build read them, unseen by it.

    Raises OttError when no build has read files.
    """
    with Judge(of_built=True) as judge:
        files = judge.ask("show_unseen_changes", settings, "unseen changes: ")
    if not files:
        yield "All files that a build has read hold the rows that they held then."
        return
    yield from (f"{file} holds other rows than when it was read." for file in files)
    kept = "Size and time are as they were, so that no build sees the change."
    yield f"{kept} Next: `ott build --vars '{{find_changed_files_by: content}}'`, once or always."


class Judge:
    """Asks macros of the project about a source: in a folder of its own, or of what is built."""

    def __init__(self, of_built: bool = False) -> None:
        """Take which database to ask in."""
        self.of_built = of_built

    def __enter__(self) -> "Judge":
        """Let dbt read the project once."""
        self.folder = tempfile.TemporaryDirectory(prefix="ott-check-source-")
        if not self.of_built:
            os.environ["OTT_DATABASE_PATH"] = f"{self.folder.name}/sample.duckdb"
        os.environ |= {
            "DBT_TARGET_PATH": f"{self.folder.name}/target",
            "DBT_LOG_PATH": f"{self.folder.name}/logs",
        }
        os.chdir(ott.home)
        self.manifest = None
        self.manifest = self._run("parse").result
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what dbt has written."""
        self.folder.cleanup()

    def __call__(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return what the macro `judge_sample` finds with these settings."""
        return self.ask("show_sample", settings, "sample of the source: ")

    def ask(self, macro: str, settings: dict[str, Any], label: str) -> Any:
        """Return what a macro logs as JSON behind a label."""
        said: list[str] = []
        self._run("run-operation", macro, "--vars", json.dumps(settings), said=said)
        (answer,) = [line for line in said if label in line]
        return json.loads(answer.partition(label)[2])

    def _run(self, *arguments: str, said: list[str] | None = None) -> Any:
        # Imported late, as that takes seconds.
        from dbt.cli.main import dbtRunner

        said, errors = [] if said is None else said, []

        def listen(event: Any) -> None:
            (errors if event.info.level == "error" else said).append(event.info.msg)

        runner = dbtRunner(self.manifest, [listen])
        result = runner.invoke([*arguments, "--log-level", "none", "--log-level-file", "none"])
        if not result.success:
            raise OttError(sentence(str(result.exception or " ".join(errors))))
        return result


def sentence(error: str) -> str:
    """Return what an error of dbt says, without where dbt was when it arose."""
    error = re.split(r"\n\s*> (?:in|called by) ", error)[0]
    return " ".join(re.sub(r"^(.*Error.*\n)+", "", error).split())


def rejected(judged: dict[str, Any]) -> Iterator[str]:
    """Yield what would be quarantined and what to do, the commonest reason first."""
    yield f"{judged['rejected']:,} of them would be quarantined{':' if judged['reasons'] else '.'}"
    for reason, count in judged["reasons"].items():
        yield f"  {count:,} as {reason}: {REASONS[reason]['description']}."
        yield f"      {REASONS[reason]['hint']}."


def advice(proposed: dict[str, Any]) -> Iterator[str]:
    """Yield the settings as a block of YAML, and what to do next."""
    if not proposed:
        yield from ("", "No setting is missing. Next: `make build`.")
        return
    yield "\nThese settings fit; look at them, and put them below `vars:` in dbt_project.yml:\n"
    block = yaml.safe_dump(proposed, sort_keys=False, allow_unicode=True, width=1000)
    yield from (f"  {line}" for line in block.splitlines())
    yield "\nNext: `make build`; what is rejected stands in marts.quarantined_compliance_events."
