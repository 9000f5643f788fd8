"""dbt-duckdb plugin that lets a macro publish a release: SQL function `publish_release`."""

import json

import duckdb
import releases
from dbt.adapters.duckdb.plugins import BasePlugin


class Plugin(BasePlugin):
    """Registers `publish_release(request)`.

    The request is JSON text with the names of the `marts`, none to publish nothing, and what the
    manifest says `about` them. The answer is JSON text as well: the `release` and its size in
    `bytes`, or an `error`; and what is `served` now, null for nothing.
    """

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
