"""dbt-duckdb plugin: what macros cannot do - find the project's folder, read files, publish."""

import json
import os
import re
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError

import ott
from ott import PROJECT, releases, source
from ott.copies import text

# Environment variables and what they set. DuckDB's own defaults fit the machine: 80 % of its
# memory, all its cores, a folder beside the database, 90 % of the disk that is free there.
RESOURCES = {
    "OTT_MEMORY_LIMIT": "memory_limit",
    "OTT_CPU_THREADS": "threads",
    "OTT_TEMP_PATH": "temp_directory",
    "OTT_TEMP_LIMIT": "max_temp_directory_size",
}
# What dbt neither escapes nor keeps in the name of a database.
UNNAMEABLE = set("\"'#;:?")


def lock_holder(error: duckdb.Error) -> str | None:
    """The process that keeps a database from being opened; none if that is not the reason."""
    holder = re.search(r"Conflicting lock is held in (.*?)\.? See", str(error))
    return holder and holder[1]


def require_own_project() -> None:
    """Stop dbt when it builds neither the project that this file belongs to nor one that it is in.

    Python may have found this file elsewhere, or keep it from a build of another folder.
    """
    ott.home = project = Path(get_flags().PROJECT_DIR).resolve()
    packages = [folder.resolve() for folder in (project / "dbt_packages").glob("*/")]
    if PROJECT not in (project, *packages):
        raise DbtRuntimeError(
            f"{project} was to be built with the scripts of {PROJECT}, into the database there;"
            " nothing was changed. Give --project-dir and --profiles-dir the same folder, take"
            " other projects out of PYTHONPATH, and build each project in a process of its own."
        )


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
    """Registers SQL functions for macros, which know no folder and cannot catch errors.

    `project_folder()` is where relative paths begin, wherever dbt runs; `package_folder()` is where
    this project is, which may be a package of that one.

    `attach_read_only(database, name)` attaches a database unless it is there already, and answers
    with what is wrong with it, or nothing.

    `event_source(request)` takes JSON text that names the source, as `source.read` does, and
    `checked` to read its rows and count them first, but for files in the relation `recorded`. The
    answer is JSON text as well: the `query` to select from, `rows`, `files` and `notes`, or a
    `problem`.

    `publish_release(request)` takes JSON text with the `marts` as `releases.publish` does, none to
    publish nothing, what the manifest says `about` them, whether the release is to be `is_compact`,
    and how many `threads` to publish with. Set DuckDB's to one before, so that it calls the
    function in the caller's thread. The answer is JSON text as well: the `release` and its size in
    `bytes`, or an `error`; and what is `served` now, null for nothing.
    """

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take the path of the work database."""
        self.database = plugin_config["database"]

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Say where the database is, bound what DuckDB uses, and try to open it.

        dbt itself ends with a traceback when that fails.
        """
        require_own_project()
        path = ott.home / self.database
        if unnameable := set(path.name) & UNNAMEABLE:
            raise DbtRuntimeError(
                f"The work database cannot be called {path.name}: dbt names it in SQL by its file,"
                f" and not with {' '.join(sorted(unnameable))}. Rename the file in"
                " OTT_DATABASE_PATH; its folders may have any name."
            )
        creds.path = str(path)
        for variable, option in RESOURCES.items():
            if os.environ.get(variable):
                config[option] = os.environ[variable]
        if "temp_directory" in config:
            config["temp_directory"] = str(ott.home / config["temp_directory"])
        try:
            duckdb.connect(creds.path, config=config).close()
        except duckdb.Error as error:
            raise DbtRuntimeError(why_not_open(creds.path, error)) from None

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Look at each connection, as dbt keeps the first one for later runs in its process."""
        require_own_project()

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Add the functions to a connection."""
        if os.environ.get("OTT_TEMP_LIMIT"):
            # DuckDB shows the limit that it was opened with, but keeps to its default.
            conn.execute(f"set max_temp_directory_size = '{os.environ['OTT_TEMP_LIMIT']}'")
        # Where relative paths in the SQL of a user begin, on every cursor. A comma would begin
        # another folder.
        folder = str(ott.home).replace(",", "?")
        conn.execute(f"set global file_search_path = {text(folder)}")

        def attach_read_only(database: str, name: str) -> str:
            # Others are those of DuckDB, as of object stores.
            path = database if ":" in database else str(ott.home / database)
            attach = f"attach if not exists {text(path)} as {name} (read_only)"
            try:
                with conn.cursor() as cursor:
                    cursor.execute(attach)
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

        checked = {}

        def event_source(request: str) -> str:
            key = json.loads(request)
            is_checked, recorded = key.pop("checked"), key.pop("recorded")
            key = json.dumps(key)
            try:
                with conn.cursor() as cursor:
                    # Of one run, all models read what was found when it began.
                    if is_checked or key not in checked:
                        checked[key] = source.read(cursor, json.loads(key), is_checked, recorded)
            except source.SourceError as error:
                return json.dumps({"problem": str(error)})
            return json.dumps(checked[key])

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
                        release = releases.publish(
                            cursor, folder, wanted["marts"], about, is_compact=wanted["is_compact"]
                        )
                    answer["release"] = str(release)
                    answer["bytes"] = (release / releases.DATABASE).stat().st_size
            except releases.ReleaseError as error:
                answer["error"] = str(error)
            try:
                answer["served"] = releases.current_release(folder).name
            except releases.ReleaseError:
                answer["served"] = None
            return json.dumps(answer)

        conn.create_function("project_folder", lambda: str(ott.home), [], "VARCHAR")
        conn.create_function("package_folder", lambda: str(PROJECT), [], "VARCHAR")
        for function in (attach_read_only, event_source, publish_release):
            # Of texts to a text, as its annotations say.
            conn.create_function(function.__name__, function, side_effects=True)
