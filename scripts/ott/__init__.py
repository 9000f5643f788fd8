"""Everything about this project that is not SQL; `ott --help` lists the commands."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
