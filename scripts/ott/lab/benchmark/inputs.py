"""Events to measure with: realistic ones with a few defects, one Parquet file a day."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb

from ott import PROJECT, OttError
from ott.lab.benchmark import limits

SAMPLE_EVENTS = 1000

# Every thousandth event is spoilt, in one of these ways in turn. A copy is one row more.
SPOIL = """
with numbered as (
    select *, case when event_id % 1000 = 500 then event_id // 1000 % 16 end as defect from source
),

doubled as (
    select *, unnest(range(if(defect in (14, 15), 2, 1))) as copy from numbered
)

select
    case when defect = 0 then null else event_id end as event_id,
    case defect
        when 1 then null
        when 2 then timestamp '1999-12-31 23:59:59'
        when 3 then timestamp '2030-01-01 00:00:00'
        else timestamp
    end as timestamp,
    case when defect = 4 then null else user_id end as user_id,
    case
        when defect in (5, 13) then 'OCEANIA'
        when defect = 6 then null
        when defect = 12 then ' ' || lower(region) || chr(9)
        else region
    end as region,
    case when defect = 5 then 'HIPAA' else regulation end as regulation,
    case when defect = 7 then '' else event_type end as event_type,
    case
        when defect = 13 then 'ok'
        when defect = 15 and copy = 1 then if(status = 'violation', 'warning', 'violation')
        else status
    end as status,
    case when defect = 8 then 130 else user_age end as user_age,
    case defect when 9 then 'nan'::double when 10 then -0.5 when 13 then 50000.0
        else session_duration_minutes end as session_duration_minutes,
    case when defect = 11 then -1 else concurrent_streams end as concurrent_streams,
    case when defect = 8 then null else data_shared end as data_shared
from doubled
order by event_id, copy
"""


@dataclass(frozen=True)
class Input:
    """Events of some days in a folder, and of one day more; and a sample of both.

    `rows` and `bytes` are those of the days without the one more. The sample has next to no
    events, but as many files: what a build of it takes is the cost of building at all.
    """

    folder: Path
    events: int
    rows: int
    next_rows: int
    users: int
    bytes: int

    def days(self, is_sample: bool = False, prefix: str = "day") -> list[Path]:
        """Return the files of the days, in order."""
        folder = self.folder / ("sample" if is_sample else "events")
        return sorted(folder.glob(f"{prefix}-*.parquet"))

    def next_day(self, is_sample: bool = False) -> Path:
        """Return the file of the day after these."""
        return self.days(is_sample, "next")[0]


def prepare(folder: Path, events: int, seed: int, days: int, say: Callable[[str], None]) -> Input:
    """Return about `events` events on `days` days and the day after, made once."""
    arguments = {"events": events, "seed": seed, "days": days}
    own = folder / "-".join(f"{name}-{value}" for name, value in arguments.items())
    described = own / "input.json"
    if not described.exists():
        say(f"generating {events:,} events")
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        _generate(own, events, seed, days)
        # Last of all: an input without it is incomplete.
        described.write_text(json.dumps(_count(own), indent=2) + "\n", encoding="utf-8")
    return Input(own, events, **json.loads(described.read_text(encoding="utf-8")))


def _generate(folder: Path, events: int, seed: int, days: int) -> None:
    whole, latest = folder / "whole.parquet", limits()["timestamp"][1]
    # So many that the days without the last hold the events asked for.
    total = -(-events * (days + 1) // days)
    command = [sys.executable, PROJECT / "scripts" / "ott", "generate", "--scenario", "realistic"]
    command += ["--events", str(total), "--seed", str(seed), "--days", str(days + 1)]
    command += ["--as-of", str(latest), "--output", whole]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise OttError(f"ott generate failed:\n{result.stdout}")
    for kind, step in (("events", 1), ("sample", max(1, total // SAMPLE_EVENTS))):
        (folder / kind).mkdir()
        for days_left in range(days, -1, -1):
            end = latest - timedelta(days=days_left)
            day = end - timedelta(days=1)
            path = folder / kind / f"{'day' if days_left else 'next'}-{day:%Y-%m-%d}.parquet"
            with duckdb.connect() as connection:
                connection.execute(f"""
                    create view source as from '{whole}' where event_id % {step} = 0
                        and timestamp >= timestamp '{day}' and timestamp < timestamp '{end}'
                """)
                connection.execute(f"copy ({SPOIL}) to '{path}' (format parquet)")
    whole.unlink()
    whole.with_name("whole.truth.json").unlink(missing_ok=True)


def _count(folder: Path) -> dict[str, int]:
    with duckdb.connect() as connection:
        rows, users, next_rows = connection.execute(f"""
            select count(*), count(distinct user_id),
                (select count(*) from '{folder}/events/next-*.parquet')
            from '{folder}/events/day-*.parquet'
        """).fetchone()
    size = sum(file.stat().st_size for file in folder.glob("events/day-*.parquet"))
    return {"rows": rows, "next_rows": next_rows, "users": users, "bytes": size}
