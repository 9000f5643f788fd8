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
from hashlib import file_digest
from pathlib import Path
from typing import Any

import duckdb

import ott
from ott import PROJECT
from ott.copies import FORMAT, STORAGE_VERSION, Marts, ReleaseError, copy, list_marts, measure_marts

DATABASE = "ott_compliance.duckdb"
MANIFEST = "manifest.json"
CURRENT = "current"
KEPT_RELEASES = 3
# A release's name: when it was made, and, but for those of older versions, which number it has. The
# number orders them, as a clock may have run ahead.
NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z(?:-(\d+))?")
# The environment variable with which a project publishes to the folder of another one.
TAKE_OVER = "OTT_TAKE_OVER_RELEASES"
# Folders of a release that is not there yet, or on its way out; a killed run leaves them behind.
BUILDING, REMOVING = ".building-", ".removing-"


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
    match said:
        case {"rows": int(), "checksum": str()}:
            days = said.get("days", {})
            return isinstance(days, dict) and all(map(is_measure, days.values()))
    return False


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
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    marts: Marts,
    about: dict,
    *,
    is_compact: bool = False,
) -> Path:
    """Copy marts into a new release, check the copy, serve it, and return its folder.

    `connection` is one of the work database that holds `marts` in its schema `marts`; `about` goes
    into the manifest, and `is_compact` asks for a file without dead space. Raises ReleaseError, and
    leaves what is served as it was, when the copy cannot be made, or the `project` in `about` is
    not the one that publishes here.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock(folder):
            refuse_folder_as_link(folder)
            last = last_manifest(folder)
            refuse_other_project(folder, last.get("project"), about.get("project"))
            # What killed runs have left behind.
            for path in (*folder.glob(f"{BUILDING}*"), *folder.glob(f"{REMOVING}*")):
                shutil.rmtree(path, ignore_errors=True)
            created_at = datetime.now(UTC)
            number = max(map(number_of, list_releases(folder)), default=0) + 1
            name = f"{created_at:%Y%m%dT%H%M%S.%fZ}-{number}"
            building = folder / (BUILDING + name)
            building.mkdir()
            try:
                copies = copy(connection, marts, building / DATABASE, last, is_compact=is_compact)
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


def last_manifest(folder: Path) -> dict:
    """Return the manifest of the last release that has one to be read; an empty one without any."""
    for release in reversed(list_releases(folder)):
        with suppress(ReleaseError):
            return read_manifest(release)
    return {}


def refuse_other_project(folder: Path, other: Any, project: dict[str, str] | None) -> None:
    """Raise ReleaseError when the last release is of a project that is still somewhere else.

    Whatever is at the same place counts as the same project, and one of this machine that is gone
    as moved here. Releases of older versions say nothing of theirs.
    """
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
