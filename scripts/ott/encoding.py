"""Check that CSV files are UTF-8, before dbt reads them.

dbt reads every seed while it parses the project and stops at the first byte that is not UTF-8
with a traceback that names no file. This says which file, which row, and what to do.
"""

import argparse
import codecs
import sys
from pathlib import Path


def encoding_problem(path: Path) -> str | None:
    """Return a sentence about the first bytes of a file that are not UTF-8, or None.

    Raises OSError when the file cannot be read.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return (
            f"{path} is UTF-16, not UTF-8. Save the file as UTF-8, or convert it, for example: "
            f"iconv -f UTF-16 -t UTF-8 {path} > converted.csv"
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        line_start = content.rfind(b"\n", 0, error.start) + 1
        column = content.count(b",", line_start, error.start) + 1
        return (
            f"{path} is not UTF-8: line {row}, column {column} holds the byte "
            f"0x{content[error.start]:02x}. Save the file as UTF-8, or convert it, for example: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {path} > converted.csv"
        )
    return None


def main() -> int:
    """Run the command line; the exit code is 1 when a file is not UTF-8 or cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="CSV file to check")
    problems = []
    for path in parser.parse_args().files:
        try:
            problems.append(encoding_problem(path))
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}.")
    problems = [problem for problem in problems if problem]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
