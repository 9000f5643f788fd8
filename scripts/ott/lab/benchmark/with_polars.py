"""The figures of the marts with polars: `python -m ott.lab.benchmark.with_polars EVENTS FOLDER`."""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl

from ott.lab.benchmark import findings
from ott.lab.benchmark.findings import Counts, Day, Dimension, Member, Users, clustered_variance
from ott.lab.benchmark.output import write_quarantine, write_rows
from ott.lab.benchmark.reference import (
    BLANKS,
    COLUMNS,
    KNOWN_MEMBERS,
    METRICS,
    UPPER_CASE,
    files,
    known,
    limits,
)

# The columns that make up the members of each tested dimension.
DIMENSIONS = {
    "region": ["region"],
    "regulation": ["regulation"],
    "region_and_regulation": ["region", "regulation"],
    "event_type": ["event_type"],
    "data_shared": ["data_shared"],
    "event_hour": ["event_hour"],
    "concurrent_streams": ["concurrent_streams"],
    "event_date": ["event_date"],
}

# --- events --------------------------------------------------------------------------------------


def without_copies(raw: pl.LazyFrame) -> tuple[pl.LazyFrame, int]:
    """Return the rows without exact copies and how many these were.

    Adds `is_conflicting` to different rows with the same id.
    """
    ids = raw.select("event_id").drop_nulls().group_by("event_id").len().filter(pl.col("len") > 1)
    repeated_ids = ids.select("event_id").collect(engine="streaming")
    repeated = raw.join(repeated_ids.lazy(), on="event_id", how="semi").collect(engine="streaming")
    versions = repeated.unique().with_columns(is_conflicting=pl.len().over("event_id") > 1)
    rows = pl.concat(
        [
            raw.join(repeated_ids.lazy(), on="event_id", how="anti").with_columns(
                is_conflicting=pl.lit(False)
            ),
            versions.lazy(),
        ]
    )
    return rows, repeated.height - versions.height


def tidied(column: str) -> pl.Expr:
    """Return a column of text as its members are written; null where nothing is left."""
    text = pl.col(column).str.strip_chars(BLANKS)
    text = text.str.to_uppercase() if column in UPPER_CASE else text.str.to_lowercase()
    return pl.when(text != "").then(text)


def member(column: str) -> pl.Expr:
    """Return a column with the known members only; all others are null."""
    return tidied(column).cast(pl.Enum(known(column)), strict=False)


def is_acceptable() -> pl.Expr:
    """Return the condition for a row that breaks no rule; `tidy_*` are its members."""
    allowed = limits()
    return pl.all_horizontal(
        pl.col("event_id").is_not_null(),
        ~pl.col("is_conflicting"),
        pl.col("timestamp").is_between(allowed.earliest, allowed.latest),
        pl.col("user_id").is_not_null(),
        *(pl.col(f"tidy_{column}").is_not_null() for column in KNOWN_MEMBERS),
        pl.col("user_age").is_between(allowed.minimum_age, allowed.maximum_age),
        # nan is larger than all numbers
        pl.col("session_duration_minutes").is_between(0, allowed.maximum_minutes),
        pl.col("concurrent_streams").is_between(1, allowed.maximum_streams),
    ).fill_null(False)


def rejection_reasons() -> dict[str, pl.Expr]:
    """Return the condition of each reason, in the order of the seed."""
    allowed = limits()
    minutes = pl.col("session_duration_minutes")

    def membership(column: str) -> dict[str, pl.Expr]:
        return {
            f"{column}_missing": tidied(column).is_null(),
            f"{column}_unknown": ~tidied(column).is_in(known(column)),
        }

    reasons = {
        "event_id_missing": pl.col("event_id").is_null(),
        "event_id_conflicting": pl.col("is_conflicting"),
        "timestamp_missing": pl.col("timestamp").is_null(),
        "timestamp_too_early": pl.col("timestamp") < allowed.earliest,
        "timestamp_in_future": pl.col("timestamp") > allowed.latest,
        "user_id_missing": pl.col("user_id").is_null(),
        **membership("region"),
        **membership("regulation"),
        **membership("event_type"),
        **membership("status"),
        "user_age_missing": pl.col("user_age").is_null(),
        "user_age_out_of_range": ~pl.col("user_age").is_between(
            allowed.minimum_age, allowed.maximum_age
        ),
        "session_duration_minutes_missing": minutes.is_null(),
        "session_duration_minutes_not_finite": ~minutes.is_finite(),
        "session_duration_minutes_negative": minutes.is_finite() & (minutes < 0),
        "session_duration_minutes_too_long": minutes.is_finite()
        & (minutes > allowed.maximum_minutes),
        "concurrent_streams_missing": pl.col("concurrent_streams").is_null(),
        "concurrent_streams_below_one": pl.col("concurrent_streams") < 1,
        "concurrent_streams_too_many": pl.col("concurrent_streams") > allowed.maximum_streams,
        **membership("data_shared"),
    }
    return {reason: condition.fill_null(False) for reason, condition in reasons.items()}


def quarantine(rejected: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the rejected rows with their reasons and return how many each reason has."""
    reasons = rejected.select(**rejection_reasons())
    lists = [
        ",".join(reason for reason, holds in zip(reasons.columns, row, strict=True) if holds)
        for row in reasons.iter_rows()
    ]
    rows = rejected.select(COLUMNS).iter_rows()
    write_quarantine(folder, ((*row, text) for row, text in zip(rows, lists, strict=True)))
    return reasons.sum().row(0, named=True)


def split(rows: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the fact and the rejected rows."""
    checked = rows.with_columns(
        **{f"tidy_{column}": member(column) for column in KNOWN_MEMBERS}
    ).with_columns(is_accepted=is_acceptable())
    accepted = checked.filter("is_accepted").select(
        "event_id",
        "user_id",
        **{column: f"tidy_{column}" for column in KNOWN_MEMBERS},
        user_age=pl.col("user_age").cast(pl.Int64),
        concurrent_streams=pl.col("concurrent_streams").cast(pl.Int64),
        session_duration_minutes="session_duration_minutes",
        is_violation=pl.col("tidy_status") == "violation",
        event_hour=pl.col("timestamp").dt.hour().cast(pl.Int32),
        event_date=pl.col("timestamp").dt.date(),
        occurred_at="timestamp",
    )
    # Together, so that the rows are read once.
    return tuple(
        pl.collect_all([accepted, checked.filter(~pl.col("is_accepted"))], engine="streaming")
    )


# --- figures -------------------------------------------------------------------------------------


def count_dimension(events: pl.DataFrame, columns: list[str]) -> Dimension:
    """Return the members of a dimension, with the variances that its design effect needs."""
    counts = events.group_by(*columns, "user_id").agg(
        events=pl.len().cast(pl.Int64),
        warning_events=(pl.col("status") == "warning").sum().cast(pl.Int64),
        violation_events=pl.col("is_violation").sum().cast(pl.Int64),
    )
    totals = counts.group_by(columns).agg(
        pl.col("events", "warning_events", "violation_events").sum(),
        users=pl.len(),
        rate=pl.col("violation_events").sum() / pl.col("events").sum(),
    )
    counts = counts.join(totals.select(*columns, "rate"), on=columns).with_columns(
        residual=pl.col("violation_events") - pl.col("events") * pl.col("rate")
    )
    squares = counts.group_by(columns).agg(
        squared_residuals=(pl.col("residual") ** 2).sum(),
        squared_events=(pl.col("events") ** 2).sum(),
    )
    by_user = counts.group_by("user_id").agg(pl.col("residual", "events").sum())
    overall = by_user.select(
        squared_residuals=(pl.col("residual") ** 2).sum(),
        events=pl.col("events").sum(),
        squared_events=(pl.col("events") ** 2).sum(),
    ).row(0, named=True)
    return Dimension(
        {
            " / ".join(str(row[column]) for column in columns): Member(
                row["events"],
                row["warning_events"],
                row["violation_events"],
                row["users"],
                clustered_variance(row["squared_residuals"], row["events"], row["squared_events"]),
            )
            for row in totals.join(squares, on=columns).iter_rows(named=True)
        },
        clustered_variance(**overall),
    )


def user_totals(events: pl.DataFrame) -> pl.DataFrame:
    """Return one row a user, with the age of the event with the lowest id."""
    return events.group_by("user_id").agg(
        user_age=pl.col("user_age").get(pl.col("event_id").arg_min()),
        events=pl.len().cast(pl.Int64),
        violation_events=pl.col("is_violation").sum().cast(pl.Int64),
        warning_events=(pl.col("status") == "warning").sum().cast(pl.Int64),
        average_session_duration_minutes=pl.col("session_duration_minutes").mean(),
        average_concurrent_streams=pl.col("concurrent_streams").mean(),
        first_event_at=pl.col("occurred_at").min(),
        last_event_at=pl.col("occurred_at").max(),
    )


def count_days(events: pl.DataFrame) -> list[Day]:
    """Return the days with events."""
    days = events.group_by("event_date").agg(
        events=pl.len(),
        violation_events=pl.col("is_violation").sum(),
        first_hour=pl.col("event_hour").min(),
        last_hour=pl.col("event_hour").max(),
    )
    return [Day(*row) for row in days.iter_rows()]


def session_statistics(events: pl.DataFrame) -> dict[str, object]:
    """Return the row of session_duration_statistics."""
    minutes = pl.col("session_duration_minutes")
    return events.select(
        events=minutes.len(),
        mean_minutes=minutes.mean(),
        stddev_minutes=minutes.std(),
        min_minutes=minutes.min(),
        p25_minutes=minutes.quantile(0.25, "linear"),
        median_minutes=minutes.median(),
        p75_minutes=minutes.quantile(0.75, "linear"),
        max_minutes=minutes.max(),
    ).row(0, named=True)


def correlations(values: pl.DataFrame) -> np.ndarray:
    """Return the matrix of Pearson's coefficients of all pairs of columns."""
    pairs = list(combinations(range(values.width), 2))
    found = values.select(
        pl.corr(values.columns[x], values.columns[y]).alias(f"{x} {y}") for x, y in pairs
    ).row(0)
    matrix = np.eye(values.width)
    for (x, y), coefficient in zip(pairs, found, strict=True):
        matrix[x, y] = matrix[y, x] = np.nan if coefficient is None else coefficient
    return matrix


def build(pattern: str, folder: Path) -> None:
    """Write all tables of the schema marts into a folder, from the Parquet files of a glob.

    Raises FileNotFoundError if there are none.
    """
    raw = pl.scan_parquet(files(pattern)).select(COLUMNS)
    rows, copies = without_copies(raw)
    events, rejected = split(rows)
    rejections = quarantine(rejected, folder)
    events.write_parquet(folder / "fct_compliance_events.parquet")

    users = user_totals(events)
    counted_users = Users(
        *(
            users[column].to_numpy()
            for column in ("user_id", "events", "warning_events", "violation_events")
        )
    )
    judgement = findings.judge(counted_users)
    users = users.with_columns(
        risk_tier=pl.Series(judgement.risk_tier),
        p_value=judgement.p_value,
        p_adjusted=judgement.p_adjusted,
        shrunk_violation_rate=judgement.shrunk_violation_rate,
        risk_evidence=pl.Series(judgement.risk_evidence),
    ).insert_column(5, pl.Series("violation_rate", judgement.violation_rate))
    users.write_parquet(folder / "dim_users.parquet")
    top = users[findings.top_users(counted_users, judgement)]
    top.with_row_index("risk_rank", offset=1).write_parquet(folder / "top_risk_users.parquet")

    metrics = events.select(pl.col(METRICS).cast(pl.Float64))
    durations = events["session_duration_minutes"].value_counts()
    counts = Counts(
        raw_rows=raw.select(pl.len()).collect().item(),
        accepted_rows=events.height,
        quarantined_rows=rejected.height,
        exact_copies_dropped=copies,
        rejections=rejections,
        dimensions={name: count_dimension(events, columns) for name, columns in DIMENSIONS.items()},
        days=count_days(events),
        users=counted_users,
        judgement=judgement,
        session_statistics=session_statistics(events),
        average_concurrent_streams=events["concurrent_streams"].mean(),
        median_user_age=events["user_age"].median(),
        pearson=correlations(metrics),
        spearman=correlations(metrics.select(pl.all().rank("average"))),
        session_durations=(
            durations["session_duration_minutes"].to_numpy(),
            durations["count"].to_numpy(),
        ),
        user_ages=users["user_age"].to_numpy(),
    )
    write_rows(folder, findings.small_tables(counts))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", help="Parquet file or glob")
    parser.add_argument("folder", type=Path, help="folder to write the tables into")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    build(options.events, options.folder)


if __name__ == "__main__":
    main()
