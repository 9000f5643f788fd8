"""Run one of the means: `python -m ott.lab.benchmark sql|pandas|polars EVENTS FOLDER`."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

MODULES = {"sql": "by_hand", "pandas": "with_pandas", "polars": "with_polars"}


def main() -> None:
    """Write the tables of events, a Parquet file or glob, into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("means", choices=MODULES)
    parser.add_argument("events")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--memory-limit", help="of DuckDB, such as 4GB")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module(f"ott.lab.benchmark.{MODULES[options.means]}")
    limit = [options.memory_limit] if options.memory_limit else []
    module.build(options.events, options.folder, *limit)


if __name__ == "__main__":
    main()
