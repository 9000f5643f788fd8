"""How fast the project is, and whether its statistics keep what they promise."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

DBT = Path(sys.executable).with_name("dbt.exe" if os.name == "nt" else "dbt")


def environment_without_settings(*kept: str) -> dict[str, str]:
    """Return the environment without the settings of the caller's own database, but those kept."""
    return {
        name: text
        for name, text in os.environ.items()
        if name in kept or not name.startswith("OTT_")
    }


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = (header, ["---"] * len(header), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
