"""Files: written whole or not at all, and text that is UTF-8 or told not to be."""

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; its file takes the place of `path` at the end.

    When anything fails, `path` is as it was and nothing else is left. The umask says who may read
    the file, as with every other one; the modules of temporary files have rules of their own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def encoding_problem(path: Path) -> str | None:
    """Return a sentence when a file cannot be read or is not UTF-8, with the byte that tells.

    dbt reads every seed while it parses the project, and stops at that byte with a traceback that
    names no file.
    """
    try:
        content = path.read_bytes()
        content.decode("utf-8")
        return None
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        line_start = content.rfind(b"\n", 0, error.start) + 1
        column = content.count(b",", line_start, error.start) + 1
        byte = f"line {row}, column {column} holds the byte 0x{content[error.start]:02x}"
    # Its mark at the beginning is never UTF-8.
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    problem = "is UTF-16, not UTF-8" if is_utf16 else f"is not UTF-8: {byte}"
    return (
        f"{path} {problem}. Save the file as UTF-8, or convert it, for example: iconv -f "
        f"{'UTF-16' if is_utf16 else 'WINDOWS-1252'} -t UTF-8 {path} > converted.csv"
    )
