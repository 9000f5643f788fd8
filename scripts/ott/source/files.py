"""Files of events: which ones a path names, of which format, what they hold as bytes."""

import gzip
import io
import re
import string
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import duckdb
import pyarrow as pa

import ott
from ott.copies import text
from ott.files import encoding_problem
from ott.source.sentences import SourceError, unusable

# Formats by the ending of a path, less that of a compression.
FORMATS = {
    **dict.fromkeys(("parquet", "parq", "pq"), "parquet"),
    **dict.fromkeys(("csv", "tsv"), "csv"),
    **dict.fromkeys(("json", "jsonl", "ndjson"), "json"),
}
COMPRESSIONS = (".gz", ".zst")
# How files of other kinds begin, whatever they are called.
MAGIC = {
    b"\x1f\x8b": "is packed with gzip: let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "is packed with zstandard: let its name end in .zst",
    b"PK\x03\x04": "is a zip archive or a workbook of Excel: unpack it, or save it as CSV",
    b"PAR1": "is a Parquet file: let its name end in .parquet",
}
# Folders that a table format keeps its record in, and the function of DuckDB that reads it.
TABLE_FORMATS = {"_delta_log": "delta", "metadata": "iceberg"}
# Clocks of file systems stand still for a while; that of FAT for two seconds.
SETTLED_AFTER_NS = 3 * 10**9
# Letters that DuckDB takes as equal in names.
ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def find_files(
    connection: duckdb.DuckDBPyConnection, path: str, told: str | None = None
) -> dict[str, list[str]]:
    """Return the files that a path names, sorted, by their format.

    A path is a glob only if no file has that very name; of a folder, all files of known formats are
    meant. A relative one begins at the project's folder.
    """
    here = ott.home / path
    if is_remote(path):
        # What cannot be listed, as over https, can still be read.
        found = glob(connection, path) or [path]
    elif here.is_file():
        found = [str(here)]
    elif here.is_dir():
        inside = sorted(str(file) for file in here.rglob("*") if file.is_file())
        found = [file for file in inside if told or ending(file) in FORMATS]
        kinds = {told or FORMATS[ending(file)] for file in found}
        if len(kinds) > 1:
            raise SourceError(
                f"The folder {path}, which the var events_source names, holds files of several"
                f" formats ({', '.join(sorted(kinds))}). Name those that are events, as in"
                f" {path.rstrip('/')}/**/*.{max(kinds)}."
            )
    else:
        pattern = path if Path(path).is_absolute() else f"{escape(str(ott.home))}/{path}"
        found = [file for file in glob(connection, pattern) if Path(file).is_file()]
    # Programs leave marks beside their files: _SUCCESS, .part-00000.crc.
    if not Path(path).name.startswith(("_", ".")):
        found = [file for file in found if not Path(file).name.startswith(("_", "."))]
    if not found:
        raise SourceError(
            f"No file matches '{path}', which the var events_source names, from the project's"
            f" folder. Mend the path; {', '.join(FORMATS)} are the endings of files that are read."
        )
    files: dict[str, list[str]] = defaultdict(list)
    for file in found:
        files[file_format(file, told)].append(file)
    return files


def ending(path: str) -> str:
    """Return the ending of a path in small letters, less that of a compression."""
    path = path.lower()
    for compression in COMPRESSIONS:
        path = path.removesuffix(compression)
    return path.rpartition(".")[2]


def file_format(file: str, told: str | None = None) -> str:
    """Return `parquet`, `csv` or `json`: as told, by the ending or by how the file begins."""
    kind = told or FORMATS.get(ending(file))
    if not is_remote(file) and not file.lower().endswith(COMPRESSIONS):
        try:
            with open(file, "rb") as binary:
                begin = binary.read(4)
        except OSError as error:
            raise unusable(file, f"cannot be read: {error.strerror}.") from None
        if begin == b"PAR1" and not kind:
            return "parquet"
        for mark, said in MAGIC.items() if kind != "parquet" else ():
            if begin.startswith(mark):
                raise unusable(file, f"{said}.")
    if kind not in FORMATS.values():
        raise unusable(
            file,
            f"ends in none of {', '.join(FORMATS)}. Say in the var events_format what it is:"
            " parquet, csv or json.",
        )
    return kind


def refuse_table_formats(files: list[str]) -> None:
    """Raise SourceError for files of a table that keeps a record of which of them count."""
    local = [Path(file) for file in files if not is_remote(file)]
    for folder in {parent for file in local for parent in file.parents}:
        for record, kind in TABLE_FORMATS.items():
            inside = folder / record
            if inside.is_dir() and (kind == "delta" or [*inside.glob("*.metadata.json")]):
                raise SourceError(
                    f"{folder} is a table of {kind.capitalize()}, whose record says which of its"
                    " files count; read as files, deleted rows would be counted. Where DuckDB's"
                    f" extension {kind} is at hand (install {kind}), set events_source:"
                    f" {{sql: \"from {kind}_scan('{folder}')\"}}."
                )


def refuse_files_of_caller(query: str) -> None:
    """Raise SourceError for a file that DuckDB would take from the folder that dbt is called in.

    All other relative paths in a query begin at the project's folder.
    """
    for path in re.findall("'([^']+)'", query) if Path.cwd() != ott.home else ():
        if not Path(path).is_absolute() and not is_remote(path) and Path(path).is_file():
            raise SourceError(
                f"The query of the var events_source names '{path}', and there is such a file in"
                f" {Path.cwd()}, where dbt is called. Call it in the project's folder, or write the"
                " whole path."
            )


def time_of(file: str) -> str:
    """Return what files are in order by: the time of their last change, and their name."""
    return f"{0 if is_remote(file) else Path(file).stat().st_mtime_ns:020} {file}"


def versions(connection: duckdb.DuckDBPyConnection, files: list[str]) -> dict[str, str | None]:
    """Return size and time of the last change of each file, as far as they are known.

    A file that has only just been changed may change again without another time: it has none.
    """
    found = dict.fromkeys(files)
    settled = time.time_ns() - SETTLED_AFTER_NS
    for file in files:
        if not is_remote(file):
            with suppress(OSError):
                known = Path(file).stat()
                if known.st_mtime_ns < settled:
                    found[file] = f"{known.st_size} {known.st_mtime_ns}"
    if remote := [file for file in files if is_remote(file)]:
        # Not all servers tell.
        with suppress(duckdb.Error):
            for file, size, changed in connection.execute(
                "select filename, size, epoch_us(last_modified)"
                f" from read_blob({literals(remote)}) where epoch_us(last_modified) > 0"
            ).fetchall():
                if changed * 1000 < settled:
                    found[file] = f"{size} {changed}"
    return found


def hive_keys(file: str) -> list[str]:
    """Return the keys in the folders of a file, as in region=EU/day=1/x.parquet."""
    folders = Path(file).parts[:-1]
    return [fold(unquote(folder.partition("=")[0])) for folder in folders if "=" in folder]


def is_remote(path: str) -> bool:
    """Whether a path is an address, as of an object store."""
    return "://" in path


def fold(column: str) -> str:
    """Return the name of a column in the letters by which DuckDB compares it."""
    return column.translate(ASCII_LOWER)


def glob(connection: duckdb.DuckDBPyConnection, pattern: str) -> list[str]:
    """Return the files that match, as DuckDB finds them, in the order of their names."""
    found = connection.execute("select file from glob(?) order by file", [pattern]).fetchall()
    return [file for (file,) in found]


def literals(files: list[str]) -> str:
    """Return files as an SQL list, with names that mean themselves where a glob could stand."""
    escaped = (file if file.startswith("http") else escape(file) for file in files)
    return f"[{', '.join(map(text, escaped))}]"


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file on this machine as bytes without compression; raises SourceError."""
    is_compressed = file.lower().endswith(COMPRESSIONS)
    if is_compressed and not file.endswith(COMPRESSIONS):
        raise unusable(
            file, "ends in capitals, by which DuckDB does not know a compressed file. Rename it."
        )
    is_gzip = file.endswith(".gz")
    try:
        # Unlike DuckDB, gzip looks at the checksum that ends a file.
        with gzip.open(file) if is_gzip else io.BufferedReader(pa.input_stream(file)) as stream:
            yield stream
    except UnicodeDecodeError:
        if is_compressed:
            raise unusable(file, "is not UTF-8. Save it as UTF-8.") from None
        raise SourceError(
            f"{encoding_problem(Path(file))} Or tell what it is in the var events_format, as in"
            " {type: csv, encoding: latin-1}."
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise unusable(
            file,
            f"cannot be read: {getattr(error, 'strerror', None) or error}."
            " If it is still being written, build again when it is whole.",
        ) from None
