"""Make the tables by one of the means: `python -m ott.lab.benchmark MEANS EVENTS FOLDER [LIMIT]`.

The means are `sql`, `pandas` and `polars`, the events a Parquet file or glob, and the limit is of
DuckDB's memory, such as 4GB.
"""

import sys
from importlib import import_module
from pathlib import Path

MODULES = {"sql": "by_hand", "pandas": "with_pandas", "polars": "with_polars"}

if __name__ == "__main__":
    means, events, folder, *limit = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    import_module(f"ott.lab.benchmark.{MODULES[means]}").build(events, Path(folder), *limit)
