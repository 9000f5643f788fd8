"""The source of the events: what is wrong with it, the query that reads it, how many rows it has.

Macros call it through the SQL functions that `plugin.py` registers. No sentence of it holds
a value of a row, which may be personal.
"""

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
    connection: duckdb.DuckDBPyConnection, request: dict[str, Any], checked: bool
) -> dict[str, Any]:
    """Return the `query` for a source, its number of `rows` when it is to be checked, and `notes`.

    The request has a `seed` with its `columns`, or the names and expressions of `Wanted` and one of
    `files`, with what the var events_format says of them as `format`, `sql` and `table`.
    """
    if "seed" in request:
        return {"rows": count_seed(str(PROJECT / request["seed"]), request["names"])}
    wanted = Wanted(request["names"], request["expressions"], request["file_order"])
    if "files" in request:
        events = EventFiles(connection, request["files"], wanted, request["format"])
    elif "sql" in request:
        query = request["sql"].strip().rstrip(";")
        refuse_files_of_caller(query)
        events = EventQuery(connection, f"({query})", wanted, "The query of the var events_source")
    else:
        events = EventQuery(connection, request["table"], wanted, request["named"])
    rows = events.count_rows() if checked else None
    return {"query": events.query, "rows": rows, "notes": events.notes}
