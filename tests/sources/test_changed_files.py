"""A build reads files that changed, and is equal to one that reads all of them from nothing."""

import json
import os
import random
import shutil
from datetime import datetime, timedelta

import duckdb
import pandas as pd
import pytest
from conftest import assert_same, run_ott

from ott.events.generator import SCHEMA
from ott.source.files import versions

DAYS, IDS = 8, 70
SEQUENCES = int(os.environ.get("OTT_TEST_FILE_SEQUENCES", "2"))
COLUMNS = [*SCHEMA.names, "updated_at"]


def new_row(draws: random.Random) -> list[str | None]:
    """A raw event, text as it could come, on some day; ids come up again."""
    moment = datetime(2026, 1, 1 + draws.randrange(DAYS)) + timedelta(
        seconds=draws.randrange(86400)
    )
    row = [
        *(str(draws.randrange(IDS)), str(moment), str(draws.randrange(8))),
        *(draws.choice(["US", "EU", "MARS"]), "GDPR", "login"),
        *(draws.choice(["compliant", "warning", "violation"]), "30", "12.5", "2", "none"),
        str(datetime(2026, 2, 1) + timedelta(hours=draws.randrange(99))),
    ]
    if draws.random() < 0.1:
        row[draws.randrange(11)] = None
    return row


class Folder:
    """Files of events in a project, each with a time of its own, long ago."""

    def __init__(self, project, draws: random.Random, settings: dict) -> None:
        self.project, self.draws = project, draws
        self.path = project.root / "data"
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()
        self.time = 1_700_000_000
        self.files: dict[str, list[list]] = {}
        self.settings = {"events_source": "data/*", "maximum_quarantined_share": 1, **settings}
        for number in range(6):
            self.files[f"{number}.{draws.choice(['parquet', 'csv', 'json'])}"] = [
                new_row(draws) for _ in range(draws.randint(1, 12))
            ]
        for name in self.files:
            self.write(name)

    @property
    def arguments(self) -> str:
        return json.dumps(self.settings)

    def write(self, name: str) -> None:
        file = self.path / name
        rows = pd.DataFrame(self.files[name], columns=COLUMNS, dtype=object)  # noqa: F841
        with duckdb.connect() as connection:
            connection.execute(f"copy (from rows) to '{file}'")
        self.time += 1
        os.utime(file, (self.time, self.time))

    def change(self) -> None:
        """What happens to files: rows come, go and move, files come, go and are named anew."""
        name = self.draws.choice([*self.files])
        kind = self.draws.choice(
            ["arrive", "arrive", "leave", "correct", "new", "gone", "name", "move"]
        )
        if kind == "arrive":
            self.files[name] += [new_row(self.draws)]
        elif kind == "leave" and len(self.files[name]) > 1:
            self.files[name].pop(self.draws.randrange(len(self.files[name])))
        elif kind == "correct":
            row = self.draws.choice(self.files[name])
            column = self.draws.randrange(len(COLUMNS))
            row[column] = new_row(self.draws)[column]
        elif kind == "new":
            name = f"{self.time}.csv"
            self.files[name] = [new_row(self.draws) for _ in range(3)]
        elif kind == "gone" and len(self.files) > 2:
            del self.files[name]
            (self.path / name).unlink()
            return
        elif kind == "name":
            other = f"{self.time}-{name}"
            self.files[other] = self.files.pop(name)
            (self.path / name).rename(self.path / other)
            return
        elif kind == "move":
            other = self.draws.choice([*self.files])
            row = self.draws.choice(self.files[name])
            self.files[other] += [[*row]]
            self.write(other)
        self.write(name)

    def build(self, *arguments: str) -> dict[str, list[tuple]]:
        """Build up to the events, and return them with all that says where rows went."""
        result = self.project.dbt(
            *("run", "--select", "+fct_compliance_events", "--vars", self.arguments, *arguments)
        )
        assert result.returncode == 0, result.stdout
        with self.project.connect() as connection:
            return {
                name: connection.sql(f"from {name} order by all").fetchall()
                for name in (
                    "marts.fct_compliance_events",
                    "marts.quarantined_compliance_events",
                    "intermediate.int_input_rows",
                    "intermediate.int_repeated_events",
                    "(select source_date, raw_rows from intermediate.int_source_days)",
                )
            }


SETTINGS = {
    "reject": {},
    "latest": {"repeated_events": {"keep": "latest", "by": "updated_at"}},
    "latest by file": {"repeated_events": {"keep": "latest"}},
}


@pytest.fixture(scope="module")
def project(new_project):
    project = new_project("files")
    result = project.dbt("seed", "--exclude", "raw_compliance_events")
    assert result.returncode == 0, result.stdout
    return project


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("sequence", range(SEQUENCES))
def test_after_any_changes_a_build_equals_one_from_nothing(project, sequence, settings):
    draws = random.Random(sequence)
    folder = Folder(project, draws, settings)
    folder.build("--full-refresh")
    for _ in range(2):
        for _ in range(draws.randint(1, 4)):
            folder.change()
        built = folder.build()
    assert_same(built, folder.build("--full-refresh"))


def test_other_files_are_not_read_and_a_change_without_a_trace_is_found(project):
    folder = Folder(project, random.Random(9), {})
    name = "quiet.csv"
    folder.files[name] = [new_row(random.Random(1)) for _ in range(9)]
    folder.files[name][0][5] = "login"
    folder.write(name)
    built = folder.build("--full-refresh")
    command = ("check-source", "--deep", "--vars", folder.arguments)
    asked = run_ott(*command, root=project.root)
    assert asked.returncode == 0, asked.stderr
    assert "All files that a build has read hold the rows that they held then." in asked.stdout

    file = folder.path / name
    text, times = file.read_text(), os.stat(file)
    file.write_text(text.replace("login", "lobby", 1))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert folder.build() == built
    asked = run_ott(*command, root=project.root)
    assert f"{name} holds other rows than when it was read." in asked.stdout
    assert "find_changed_files_by: content" in asked.stdout
    folder.settings["find_changed_files_by"] = "content"
    assert folder.build() != built


def test_a_file_that_has_only_just_changed_has_no_version(tmp_path):
    """Within a moment of the file system's clock it could change once more, unseen."""
    file = tmp_path / "events.csv"
    file.write_text("event_id\n1\n")
    found = versions(duckdb.connect(), [str(file), "s3://nowhere/events.csv"])
    assert found == {str(file): None, "s3://nowhere/events.csv": None}
    os.utime(file, ns=(0, 1_700_000_000_123_456_789))
    assert versions(duckdb.connect(), [str(file)]) == {str(file): "11 1700000000123456789"}
