"""dbt-duckdb plugin: explains a work database that does not open, and publishes for a macro."""

import json
import os
import re
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


class Plugin(BasePlugin):
    """Registers the SQL function `publish_release(request)`.

    The request is JSON text with the names of the `marts`, none to publish nothing, and what the
    manifest says `about` them. The answer is JSON text as well: the `release` and its size in
    `bytes`, or an `error`; and what is `served` now, null for nothing.
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
            holder = re.search(r"Conflicting lock is held in (.*?)\.? See", str(error))
            if holder is None:
                bounds = [
                    f"{name}={os.environ[name]}" for name in RESOURCES if os.environ.get(name)
                ]
                raise DbtRuntimeError(
                    str(error).splitlines()[0] + (f" (with {', '.join(bounds)})" if bounds else "")
                ) from None
            raise DbtRuntimeError(
                f"{creds.path} is in use by {holder[1]}: wait for that build, or close that client"
                " (clients read release/current/ott_compliance.duckdb); nothing was changed."
            ) from None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Add the function to a connection."""

        def publish_release(request: str) -> str:
            folder = releases.release_folder()
            answer = {}
            try:
                wanted = json.loads(request)
                if wanted["marts"]:
                    # Of its own, as the caller's connection waits for this function.
                    with conn.cursor() as cursor:
                        release = releases.publish(cursor, folder, wanted["marts"], wanted["about"])
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
            "publish_release", publish_release, ["VARCHAR"], "VARCHAR", side_effects=True
        )
