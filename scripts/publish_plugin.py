"""dbt-duckdb plugin: explains databases that do not open, and publishes for a macro."""

import json
import os
import re
from pathlib import Path
from typing import Any

import duckdb
import releases
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

# Environment variables and what they set. DuckDB's own defaults fit the machine: 80 % of its
# memory, all its cores, a folder beside the database, 90 % of the disk that is free there.
RESOURCES = {
    "OTT_MEMORY_LIMIT": "memory_limit",
    "OTT_CPU_THREADS": "threads",
    "OTT_TEMP_PATH": "temp_directory",
    "OTT_TEMP_LIMIT": "max_temp_directory_size",
}


def lock_holder(error: duckdb.Error) -> str | None:
    """The process that keeps a database from being opened; none if that is not the reason."""
    holder = re.search(r"Conflicting lock is held in (.*?)\.? See", str(error))
    return holder and holder[1]


def why_not_open(path: str, error: duckdb.Error) -> str:
    """Say why the work database cannot be opened, and what to do."""
    reason = str(error).splitlines()[0].rstrip()
    if holder := lock_holder(error):
        return (
            f"{path} is in use by {holder}: wait for that build, or close that client"
            " (clients read release/current/ott_compliance.duckdb); nothing was changed."
        )
    if Path(path).is_dir():
        return (
            f"{path} is a folder, where the work database belongs: move it away, or let"
            " OTT_DATABASE_PATH name a file; nothing was changed."
        )
    if "Permission denied" in reason or "Read-only file system" in reason:
        return (
            f"{path} may not be read and written here ({reason}): get the right to, or let"
            " OTT_DATABASE_PATH name another file; nothing was changed."
        )
    # Whatever else keeps DuckDB from reading a file: cut short, overwritten, none of its own.
    damage = duckdb.IOException | duckdb.SerializationException | duckdb.FatalException
    if Path(path).is_file() and isinstance(error, damage) and "No space left" not in reason:
        return (
            f"{path} cannot be read as a database ({reason}): delete it, and {path}.wal if there is"
            " one, and build again, which makes it anew; releases are not touched."
        )
    bounds = [f"{name}={os.environ[name]}" for name in RESOURCES if os.environ.get(name)]
    return reason + (f" (with {', '.join(bounds)})" if bounds else "")


class Plugin(BasePlugin):
    """Registers two SQL functions for macros, which cannot catch errors.

    `attach_read_only(database, name)` attaches a database unless it is there already, and answers
    with what is wrong with it, or nothing.

    `publish_release(request)` takes JSON text with the names of the `marts`, none to publish
    nothing, what the manifest says `about` them, and how many `threads` to publish with. Set
    DuckDB's to one before, so that it calls the function in the caller's thread. The answer is JSON
    text as well: the `release` and its size in `bytes`, or an `error`; and what is `served` now,
    null for nothing.
    """

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Bound what DuckDB uses, and try to open the database.

        dbt itself ends with a traceback when that fails.
        """
        for variable, option in RESOURCES.items():
            if os.environ.get(variable):
                config[option] = os.environ[variable]
        try:
            duckdb.connect(creds.path, config=config).close()
        except duckdb.Error as error:
            raise DbtRuntimeError(why_not_open(creds.path, error)) from None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Add the functions to a connection."""
        if os.environ.get("OTT_TEMP_LIMIT"):
            # DuckDB shows the limit that it was opened with, but keeps to its default.
            conn.execute(f"set max_temp_directory_size = '{os.environ['OTT_TEMP_LIMIT']}'")

        def attach_read_only(database: str, name: str) -> str:
            path = database.replace("'", "''")
            try:
                with conn.cursor() as cursor:
                    cursor.execute(f"attach if not exists '{path}' as {name} (read_only)")
            except duckdb.Error as error:
                holder = lock_holder(error)
                if holder is None:
                    return f"cannot be opened: {str(error).splitlines()[0]}"
                return (
                    f"is in use by {holder}, and DuckDB reads no database that another program"
                    " may write to. Close that program, or let it export the events as Parquet"
                    " files and name these."
                )
            return ""

        def publish_release(request: str) -> str:
            folder = releases.release_folder()
            answer = {}
            try:
                wanted = json.loads(request)
                if wanted["marts"]:
                    # Of its own, as the caller's connection waits for this function.
                    with conn.cursor() as cursor:
                        cursor.execute(f"set threads = {wanted['threads']}")
                        about = wanted["about"] | {"project": releases.this_project(folder)}
                        release = releases.publish(cursor, folder, wanted["marts"], about)
                    answer["release"] = str(release)
                    answer["bytes"] = (release / releases.DATABASE).stat().st_size
            except releases.ReleaseError as error:
                answer["error"] = str(error)
            try:
                answer["served"] = releases.current_release(folder).name
            except releases.ReleaseError:
                answer["served"] = None
            return json.dumps(answer)

        conn.create_function(
            "attach_read_only",
            attach_read_only,
            ["VARCHAR", "VARCHAR"],
            "VARCHAR",
            side_effects=True,
        )
        conn.create_function(
            "publish_release", publish_release, ["VARCHAR"], "VARCHAR", side_effects=True
        )
