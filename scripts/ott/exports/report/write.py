"""Write one HTML file that shows the published tables: findings, charts, and a table behind each.

The file needs no network, no server and no other file. Every number in it stands in the schema
`marts` of a release; nothing is estimated here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ott import PROJECT
from ott.catalog import Release, ReportError, database_file

# The package beside this file: Python prefers a package to a module of the same name.
from ott.exports.report.page import page
from ott.files import whole_file
from ott.releases import release_folder


def write_report(release: Path, output: Path, with_users: bool = False) -> None:
    """Write the report of a release to a file, which is left as it was when anything fails.

    It names single users only `with_users`.

    Raises ReportError when the release is missing or incomplete, or the file cannot be written.
    """
    opened = Release(database_file(release), with_users)
    try:
        content = page(opened)
    finally:
        opened.close()
    try:
        with whole_file(output) as unfinished:
            unfinished.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{output} cannot be written: {error.strerror}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 when no report could be written."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog="The report opens in any browser, without a network. Nothing in it is estimated "
        "anew: every number stands in the schema marts of the release.",
    )
    parser.add_argument(
        "--release",
        type=Path,
        metavar="PATH",
        default=release_folder(),
        help="a release: the DuckDB file, the folder that holds it, or the folder of all releases, "
        "of which the current one is taken (default: $OTT_RELEASE_PATH or else release)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        default=PROJECT / "target" / "compliance_report.html",
        help="HTML file to write (default: target/compliance_report.html)",
    )
    parser.add_argument(
        "--with-users",
        action="store_true",
        help="show single users with their ids and ages, which are personal data (default: none)",
    )
    options = parser.parse_args(arguments)
    try:
        write_report(options.release, options.output, options.with_users)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.output} ({options.output.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
