"""Everything about this project that is not SQL; `ott --help` lists the commands."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
# Where relative paths begin: the project that dbt runs, of which this one may be a package.
home = PROJECT


class OttError(Exception):
    """A sentence for the user: what could not be done, why, and what to do."""


class WrongArgumentsError(OttError):
    """A sentence for the user: which arguments of a command make no sense together."""
