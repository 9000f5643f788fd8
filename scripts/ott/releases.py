"""Releases of the marts: complete, checked, read-only copies that clients connect to.

A release is a folder with `ott_compliance.duckdb` and `manifest.json`. The link `current` beside
the releases points to the one that is served and is switched in one step, so that a reader sees
either the old release or the new one. `dbt build` publishes; `ott releases` looks after the rest.
"""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import reduce
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any

import duckdb
from tqdm import tqdm

import ott
from ott import PROJECT, OttError

DATABASE = "ott_compliance.duckdb"
MANIFEST = "manifest.json"
CURRENT = "current"
# Every DuckDB since 1.0 reads it.
STORAGE_VERSION = "v1.0.0"
KEPT_RELEASES = 3
# Of the manifest. Those without one have checksums of another kind.
FORMAT = 2
# Name of the new file in the build's connection, unlike that of any work database.
COPY = "ott_release_copy"
# A release's name: when it was made, and, but for those of older versions, which number it has. The
# number orders them, as a clock may have run ahead.
NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z(?:-(\d+))?")
# The environment variable with which a project publishes to the folder of another one.
TAKE_OVER = "OTT_TAKE_OVER_RELEASES"
# Folders of a release that is not there yet, or on its way out; a killed run leaves them behind.
BUILDING, REMOVING = ".building-", ".removing-"
# SQL of the whole number that a checksum makes of a value, by its type; others it takes as text.
INTEGERS = "BOOLEAN TINYINT SMALLINT INTEGER BIGINT UTINYINT USMALLINT UINTEGER UBIGINT"
AS_NUMBER = {
    **dict.fromkeys(INTEGERS.split(), "{0}"),
    "DOUBLE": "cast(cast({0} as bit) as bigint)",
    "DATE": "{0} - date '1970-01-01'",
    # Infinite moments have no microseconds.
    "TIMESTAMP": "coalesce(epoch_us({0}), md5_number_lower(cast({0} as varchar)))",
}


class ReleaseError(OttError):
    """A sentence for the user: what is wrong with a release and what to do."""


def release_folder() -> Path:
    """Return the folder of the releases: OTT_RELEASE_PATH in the project, by default `release`."""
    return ott.home / (os.environ.get("OTT_RELEASE_PATH") or "release")


def list_releases(folder: Path) -> list[Path]:
    """Return the folders with a manifest or a release's name, in the order of publication."""
    there = [
        path
        for path in folder.glob("[!.]*/")
        if path.name != CURRENT
        and not path.is_symlink()
        and (has_manifest(path) or NAME.fullmatch(path.name))
    ]
    return sorted(there, key=lambda release: (number_of(release), release.name))


def has_manifest(release: Path) -> bool:
    """Return whether a folder holds a manifest, in whatever state; so does one we may not read."""
    try:
        return (release / MANIFEST).exists()
    except PermissionError:
        return True


def number_of(release: Path) -> int:
    """Return which release it is; 0 for those of older versions, which come first."""
    named = NAME.match(release.name)
    return int(named[1] or 0) if named else 0


def current_release(folder: Path) -> Path:
    """Return the folder of the release that is served; raises ReleaseError when there is none."""
    current = folder / CURRENT
    if current.exists():
        # Under the folder as it was named, so that it compares to the others in there.
        return folder / current.resolve().name
    if names := ", ".join(release.name for release in list_releases(folder)):
        raise ReleaseError(f"No release is served in {folder}. Roll back to one of: {names}.")
    raise ReleaseError(f"There is no release in {folder} yet. Run `make build` first.")


def read_manifest(release: Path) -> dict:
    """Return the manifest of a release; raises ReleaseError when it is missing or damaged."""
    path = release / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        problem = f"cannot be read ({reason})"
    else:
        match manifest:
            case {
                "release": str() as name,
                "git_commit": str() | None as commit,
                "database": {"bytes": int() as size, "sha256": str()},
                "marts": dict() as marts,
            } if (
                f"{name}{commit}".isprintable()
                # More is none that can be shown in MB.
                and size < 2**63
                and all(map(is_measure, marts.values()))
            ):
                return manifest
        problem = "is damaged: it lacks what manifests hold"
    raise ReleaseError(f"{path} {problem}. Roll back to another release.")


def is_measure(said: Any) -> bool:
    """Return whether this is what a manifest says of a mart."""
    kinds = {"rows": int, "checksum": str}
    return isinstance(said, dict) and all(isinstance(said.get(k), t) for k, t in kinds.items())


def verify(release: Path) -> dict:
    """Hold a release against its manifest, and return the manifest.

    Compares the database file's SHA-256, and the rows and, but for a manifest of another format,
    the checksum of every mart. Raises ReleaseError with all that differs.
    """
    manifest = read_manifest(release)
    database = release / DATABASE
    try:
        with duckdb.connect(database, read_only=True) as connection:
            found = measure_marts(connection, list_marts(connection))
        digest = sha256(database)
    except (OSError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        raise ReleaseError(f"{database} cannot be read: {reason}") from None
    expected = manifest["marts"]
    same_format = manifest.get("format") == FORMAT
    problems = []
    for mart in sorted(expected.keys() | found.keys()):
        if mart not in found:
            problems.append(f"{mart} is missing")
        elif mart not in expected:
            problems.append(f"{mart} is not in the manifest")
        elif found[mart]["rows"] != expected[mart]["rows"]:
            problems.append(f"{mart} has {found[mart]['rows']} rows, not {expected[mart]['rows']}")
        elif same_format and found[mart]["checksum"] != expected[mart]["checksum"]:
            problems.append(f"{mart} has other values")
    if not problems and digest != manifest["database"]["sha256"]:
        problems.append("the file has changed" + ", but no value in a mart" * same_format)
    if problems:
        raise ReleaseError(
            f"{release} does not match its manifest: {'; '.join(problems)}. "
            "Roll back to another release."
        )
    return manifest


def roll_back(folder: Path, name: str | None) -> Path:
    """Verify an earlier release, by default the one before, serve it again and return it."""
    with lock(folder):
        refuse_folder_as_link(folder)
        if name is None:
            there = [*filter(has_manifest, list_releases(folder))]
            served = current_release(folder)
            earlier = there[: there.index(served)] if served in there else []
            if not earlier:
                raise ReleaseError(f"There is no earlier release in {folder}.")
            release = earlier[-1]
        else:
            release = find_release(folder, name)
        verify(release)
        switch_to(release)
    return release


def find_release(folder: Path, name: str | None) -> Path:
    """Return the folder of a release by its name, or of the current one without a name."""
    if name is None:
        return current_release(folder)
    there = {release.name: release for release in list_releases(folder)}
    if name not in there:
        names = ", ".join(there) or "none"
        raise ReleaseError(f"There is no release {name} in {folder}; there are: {names}.")
    return there[name]


def publish(
    connection: duckdb.DuckDBPyConnection, folder: Path, marts: list[str], about: dict
) -> Path:
    """Copy marts into a new release, check the copy, serve it, and return its folder.

    `connection` is one of the work database that holds `marts` in its schema `marts`; `about` goes
    into the manifest. Raises ReleaseError, and leaves what is served as it was, when the copy
    cannot be made, or the `project` in `about` is not the one that publishes here.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder):
            refuse_folder_as_link(folder)
            refuse_other_project(folder, about.get("project"))
            # What killed runs have left behind.
            for path in (*folder.glob(f"{BUILDING}*"), *folder.glob(f"{REMOVING}*")):
                shutil.rmtree(path, ignore_errors=True)
            created_at = datetime.now(UTC)
            number = max(map(number_of, list_releases(folder)), default=0) + 1
            name = f"{created_at:%Y%m%dT%H%M%S.%fZ}-{number}"
            building = folder / (BUILDING + name)
            building.mkdir()
            try:
                originals = copy_marts(connection, marts, building / DATABASE)
                copies = check_copies(connection, originals, building / DATABASE)
                write_manifest(building, name, created_at, copies, about)
                make_durable(building)
                release = building.rename(folder / name)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            switch_to(release)
            remove_old_releases(folder)
    except (OSError, duckdb.Error) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ReleaseError(f"The release cannot be written to {folder}: {reason}.") from error
    return release


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep others from changing the releases; raises ReleaseError when somebody else does."""
    try:
        import fcntl
    except ImportError:
        raise ReleaseError("Releases need the file locks of Linux and macOS; use WSL.") from None
    if not folder.is_dir():
        raise ReleaseError(f"There is no folder {folder}. Run `make build` first.")
    with (folder / ".lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ReleaseError(
                f"Process {file.read() or '?'} is publishing or rolling back in {folder}; "
                "try again when it has ended."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def refuse_folder_as_link(folder: Path) -> None:
    """Raise ReleaseError when a folder stands in place of the link to what is served."""
    current = folder / CURRENT
    if current.is_dir() and not current.is_symlink():
        raise ReleaseError(
            f"{current} is a folder, not a link to a release, as a copy or a backup without links "
            f"leaves it. Rename it to the release that its {MANIFEST} names, or remove it if that "
            "is beside it; then roll back to that release, or build again."
        )


def this_project(folder: Path) -> dict[str, str]:
    """Return what a manifest says of the project that publishes to a folder.

    The path is relative to the folder, so that a project with its releases inside can be moved.
    """
    return {"path": os.path.relpath(ott.home, folder.resolve()), "host": socket.gethostname()}


def refuse_other_project(folder: Path, project: dict[str, str] | None) -> None:
    """Raise ReleaseError when the last release is of a project that is still somewhere else.

    Whatever is at the same place counts as the same project, and one of this machine that is gone
    as moved here. Releases of older versions say nothing of theirs.
    """
    other = None
    for release in reversed(list_releases(folder)):
        with suppress(ReleaseError):
            other = read_manifest(release).get("project")
            break
    match other:
        case {"path": str() as path, "host": str() as host} if project and path != project["path"]:
            where = (folder.resolve() / path).resolve()
        case _:
            return
    is_gone = host == project["host"] and not (where / "dbt_project.yml").exists()
    if not is_gone and os.environ.get(TAKE_OVER) != "1":
        raise ReleaseError(
            f"{folder} holds releases of another project, {where} on {host}. Let "
            "OTT_RELEASE_PATH name a folder of this project's own; or, to publish there in place "
            f"of the other one from now on, build once with {TAKE_OVER}=1."
        )


def copy_marts(
    connection: duckdb.DuckDBPyConnection, marts: list[str], database: Path
) -> dict[str, tuple]:
    """Copy marts with their comments into a new database file; fingerprint the originals."""
    source = connection.execute("select current_database()").fetchone()[0]
    connection.execute(
        f"attach {text(str(database))} as {COPY}"
        f" (read_write, storage_version {text(STORAGE_VERSION)})"
    )
    try:
        # One transaction reads all marts at one moment; closing undoes what is not committed.
        with connection.cursor() as transaction:
            transaction.begin()
            transaction.execute(f"create schema {COPY}.marts")
            for mart in tqdm(marts, desc="Publishing", unit="mart", disable=None, leave=False):
                transaction.execute(
                    f"create table {COPY}.marts.{name(mart)} as "
                    f"select * from {name(source)}.marts.{name(mart)}"
                )
            copy_comments(transaction, source, marts)
            originals = {
                mart: fingerprint(transaction, f"{name(source)}.marts.{name(mart)}")
                for mart in marts
            }
            transaction.commit()
    finally:
        # Writes everything into the file and removes its log.
        connection.execute(f"detach {COPY}")
    return originals


def check_copies(
    connection: duckdb.DuckDBPyConnection, originals: dict[str, tuple], database: Path
) -> dict[str, dict]:
    """Hold the marts of a database file against the fingerprints of their originals.

    Reads the file anew, with the memory and the version of DuckDB that read the originals. Returns
    rows and checksum of each mart; raises ReleaseError with those that differ.
    """
    connection.execute(f"attach {text(str(database))} as {COPY} (read_only)")
    try:
        differing = [
            mart
            for mart, original in originals.items()
            if fingerprint(connection, f"{COPY}.marts.{name(mart)}") != original
        ]
        if differing:
            raise ReleaseError(
                f"The copy differs from the work database in {', '.join(differing)}; build again."
            )
        return measure_marts(connection, list(originals), f"{COPY}.marts")
    finally:
        connection.execute(f"detach {COPY}")


def fingerprint(connection: duckdb.DuckDBPyConnection, relation: str) -> tuple:
    """Return columns and types, number of rows, and the sum of DuckDB's hash of each row.

    Fast, but only to be compared within one version of DuckDB, whose hash is its own affair.
    """
    columns = connection.execute(f"describe {relation}").fetchall()
    # The constant, because a hash mixes all values but the last.
    values = ", ".join([*(name(column) for column, *_ in columns), "0"])
    measures = connection.execute(f"select count(*), sum(hash({values})) from {relation}")
    return [column[:2] for column in columns], measures.fetchone()


def copy_comments(connection: duckdb.DuckDBPyConnection, source: str, marts: list[str]) -> None:
    """Give the copies the comments of the originals."""
    where = "where database_name = $1 and schema_name = 'marts' and comment is not null"
    found = connection.execute(
        f"select table_name, null, comment from duckdb_tables() {where}"
        f" union all select view_name, null, comment from duckdb_views() {where}"
        f" union all select table_name, column_name, comment from duckdb_columns() {where}",
        [source],
    ).fetchall()
    for table, column, comment in found:
        if table in marts:
            kind = "column" if column else "table"
            place = ".".join(map(name, [table, column] if column else [table]))
            connection.execute(f"comment on {kind} {COPY}.marts.{place} is {text(comment)}")


def list_marts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the names of the relations of schema `marts` in the connection's own database."""
    found = connection.execute(
        "select table_name from information_schema.tables"
        " where table_catalog = current_database() and table_schema = 'marts' order by all"
    )
    return [mart for (mart,) in found.fetchall()]


def measure_marts(
    connection: duckdb.DuckDBPyConnection, marts: list[str], schema: str = "marts"
) -> dict[str, dict]:
    """Return each mart's number of rows and a checksum of its values, whatever their order."""
    measured = {}
    for mart in marts:
        relation = f"{schema}.{name(mart)}"
        columns = connection.execute(f"describe {relation}").fetchall()
        rows, checksum = connection.execute(checksum_query(relation, columns)).fetchone()
        measured[mart] = {"rows": rows, "checksum": str(checksum)}
    return measured


def checksum_query(relation: str, columns: list[tuple]) -> str:
    """Return the query for the number of rows and the checksum of a relation.

    `columns` begin with name and type. MD5 and whole numbers are the same in every DuckDB, its own
    hash is not. MD5 is slow and most texts occur many times, so rows with the same texts are taken
    together: MD5 of the texts, the number of these rows and a sum of a hash of each row's numbers.

    The hash: each number times a constant of its column (62 bits, odd; a missing number counts as
    2^64, which none is), these joined by xor, folded to 62 bits and squared, so that it matters
    which numbers share a row.
    """
    texts, numbers = [], ["0::hugeint"]
    for column, kind, *_ in columns:
        if kind in AS_NUMBER:
            number = AS_NUMBER[kind].format(name(column))
            factor = int.from_bytes(md5(column.encode()).digest()[:8]) >> 2 | 1
            numbers.append(f"{factor} * coalesce(cast({number} as hugeint), {2**64})")
        else:
            texts.append(f"coalesce(cast({name(column)} as varchar), chr(30)) as text_{len(texts)}")
    keys = "".join(f"text_{index}, " for index in range(len(texts)))
    row = reduce("xor({}, {})".format, numbers)
    values = ", ".join([*texts, f"{row} as number"])
    return f"""
        select
            cast(coalesce(sum(row_count), 0) as bigint),
            coalesce(sum(cast(
                md5_number_lower(concat_ws(chr(31), {keys} row_count, total)) as hugeint
            )), 0)
        from (
            select {keys} count(*) as row_count, sum((folded * folded) >> 32) as total
            from (
                select {keys} xor(number, number >> 62) & {2**62 - 1} as folded
                from (select {values} from {relation})
            )
            group by all
        )
    """


def write_manifest(
    building: Path, release: str, created_at: datetime, marts: dict[str, dict], about: dict
) -> None:
    """Write what the release holds and where it comes from."""
    manifest = {
        "format": FORMAT,
        "release": release,
        "created_at": created_at.isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "duckdb_version": duckdb.__version__,
        **about,
        "database": {
            "file": DATABASE,
            "storage_version": STORAGE_VERSION,
            "bytes": (building / DATABASE).stat().st_size,
            "sha256": sha256(building / DATABASE),
        },
        "marts": marts,
    }
    (building / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def git_commit() -> str | None:
    """Return the commit of the project, `-dirty` when files differ from it, None without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    except OSError:
        return None
    return described.stdout.strip() or None


def make_durable(building: Path) -> None:
    """Make the files of a release read-only and flush them to disk."""
    for path in sorted(building.iterdir()):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o444)
        flush(path)
    flush(building)


def switch_to(release: Path) -> None:
    """Point the link to what is served at a release, in one step."""
    folder = release.parent
    flush(folder)
    link = folder / ".next"
    link.unlink(missing_ok=True)
    link.symlink_to(release.name)
    link.replace(folder / CURRENT)
    flush(folder)


def remove_old_releases(folder: Path) -> None:
    """Remove all but the last releases and the one that is served.

    One without its manifest can never be served again. A folder of another name than ours is
    somebody's copy, and stays.
    """
    there = list_releases(folder)
    kept = [r for r in there if has_manifest(r) and NAME.fullmatch(r.name)][-KEPT_RELEASES:]
    for release in there:
        if release not in (*kept, current_release(folder)) and NAME.fullmatch(release.name):
            # Renamed first: a killed run leaves no release with a part of its files. One that
            # another user made may stay; it is no reason to publish nothing.
            with suppress(OSError):
                shutil.rmtree(release.rename(folder / (REMOVING + release.name)))


def flush(path: Path) -> None:
    """Flush a file or the entries of a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def name(identifier: str) -> str:
    """Quote an SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote an SQL text."""
    return "'" + value.replace("'", "''") + "'"


def describe_releases(folder: Path) -> Iterator[str]:
    """Yield a line a release, the last one first, a star at the one served; raise if none is."""
    served = (folder / CURRENT).resolve().name
    for release in reversed(list_releases(folder)):
        try:
            manifest = read_manifest(release)
        except ReleaseError as error:
            about = [str(error)]
        else:
            events = manifest["marts"].get("fct_compliance_events", {}).get("rows")
            about = [
                f"{len(manifest['marts'])} marts",
                f"{events:,} events" if events is not None else "without events",
                f"{manifest['database']['bytes'] / 1e6:.1f} MB",
                f"commit {manifest['git_commit'] or 'unknown'}",
            ]
        yield "  ".join(["*" if release.name == served else " ", release.name, *about])
    refuse_folder_as_link(folder)
    current_release(folder)
