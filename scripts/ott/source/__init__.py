"""The source of the events: what is wrong with it, the query that reads it, how many rows it has.

Macros call it through the SQL functions that `plugin.py` registers. No sentence of it holds
a value of a row, which may be personal.
"""

import json
from hashlib import md5
from typing import Any

import duckdb

from ott import PROJECT
from ott.source.csv_files import count_seed
from ott.source.events import EventFiles, EventQuery
from ott.source.files import refuse_files_of_caller
from ott.source.parts import Wanted
from ott.source.sentences import SourceError, explained

__all__ = ["EventFiles", "EventQuery", "SourceError", "Wanted", "count_seed", "explained", "read"]


def read(
    connection: duckdb.DuckDBPyConnection,
    request: dict[str, Any],
    checked: bool,
    recorded: str | None = None,
) -> dict[str, Any]:
    """Return the `query` for a source, its number of `rows` when it is to be checked, and `notes`.

    The request has a `seed` with its `columns`, or the names and expressions of `Wanted` and one of
    `files`, with what the var events_format says of them as `format`, `sql` and `table`. Of files,
    the answer has `files` as well: name, version and rows of each, none if it is not to be checked.
    `recorded` is a relation with what is known of files that an earlier build has read.
    """
    if "seed" in request:
        return {"rows": count_seed(str(PROJECT / request["seed"]), request["names"])}
    wanted = Wanted(request["names"], request["expressions"], request["file_order"])
    if "files" in request:
        events = EventFiles(connection, request["files"], wanted, request["format"])
        if request["by_content"]:
            events.versions = dict.fromkeys(events.versions)
        # Read otherwise, a file is another one.
        reading = md5(json.dumps(request, sort_keys=True).encode()).hexdigest()
        for file, version in events.versions.items():
            events.versions[file] = version and f"{version} {reading}"
    elif "sql" in request:
        query = request["sql"].strip().rstrip(";")
        refuse_files_of_caller(query)
        events = EventQuery(connection, f"({query})", wanted, "The query of the var events_source")
    else:
        events = EventQuery(connection, request["table"], wanted, request["named"])
    counted = {}
    if recorded:
        query = f"select distinct source_file, file_version, file_rows from {recorded}"
        counted = {
            (file, version): rows for file, version, rows in connection.sql(query).fetchall()
        }
    rows = events.count_rows(counted) if checked else None
    return {"query": events.query, "rows": rows, "notes": events.notes, "files": events.files}
