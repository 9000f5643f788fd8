"""What the user is told of a source that cannot be read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

import ott
from ott import OttError

# Words of DuckDB about text that it cannot read, beside which it may quote rows; and ours.
COMPLAINTS = {
    "invalid state": "mixes line ends of several kinds",
    "unterminated quote": "has a quote that is not closed, or text after a closing one",
    "Expected Number of Columns": "has another number of values than its first line has columns",
    "Maximum line size": "has a row of millions of characters, perhaps below an open quote",
    "utf-8": "is not UTF-8",
    "duplicate key": "has a key twice in one object",
    "JSON transform error": "holds something else than an object where an event should be",
    "Malformed JSON": "is no JSON there, or ends in the middle of an event",
    "maximum_object_size": "has an event of millions of characters",
    "too small to be a Parquet": "is no whole Parquet file: empty, or its upload was cut",
    "No magic bytes found": "is no whole Parquet file: cut, being written, or of another kind",
}
# Where DuckDB names the file: of CSV on a line of its own, of JSON and Parquet in the sentence.
FILE = re.compile(r"^\s*file = (.+)$|in file \"(.+?)\"|file '(.+?)'", re.MULTILINE | re.IGNORECASE)
LINE = re.compile(r"(?:Line: |in line |in record/value )(\d+)")


class SourceError(OttError):
    """A sentence for the user: what is wrong with the source of events and what to do."""


def short(file: str) -> str:
    """Return a file as people name it."""
    return file.removeprefix(f"{ott.home}/")


def unusable(file: str, problem: str) -> SourceError:
    """Return an error that names a file as people do, and what is wrong with it."""
    return SourceError(f"The events file {short(file)} {problem}")


def lacks(missing: list[str], found: list[str]) -> str:
    """Return what a source lacks, what it has, and what to set."""
    # What is no plain name may be a value of an event, as an address is as a key of JSON.
    shown = [column for column in found if re.fullmatch(r"[^\W\d][\w $.,\"-]*", column)]
    has = f" It has: {', '.join(shown)}." if shown else ""
    if any("(" in column for column in missing):
        has += " SQL is written {sql: ...}."
    return (
        f"lacks the column(s) {', '.join(missing)}.{has} Add them, or say in the var events_columns"
        " what they are called there, or `absent` if the platform has no such thing"
        " (`ott check-source` proposes the settings)."
    )


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what DuckDB says of files into a sentence that quotes no row of them."""
    try:
        yield
    except duckdb.Error as error:
        message = str(error)
        complaint = next((ours for theirs, ours in COMPLAINTS.items() if theirs in message), None)
        if not complaint:
            raise SourceError(
                f"'{path}', which the var events_source names, cannot be read:"
                f" {message.splitlines()[0]}"
            ) from None
        file, line = FILE.search(message), LINE.search(message)
        where = f", in line {line[1]}" if line else ""
        raise unusable(
            file[file.lastindex] if file else path,
            f"cannot be read: it {complaint}{where}. Mend it there.",
        ) from None
