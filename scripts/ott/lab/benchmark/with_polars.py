"""What costs in a build, with polars."""

from pathlib import Path

import polars as pl

from ott.lab.benchmark import age_bands, limits
from ott.registry import BLANKS, COLUMNS, DIMENSIONS, KNOWN_MEMBERS, known


def without_copies(raw: pl.LazyFrame) -> pl.LazyFrame:
    """Return the rows without exact copies; `is_conflicting` says which share their id."""
    ids = raw.select("event_id").drop_nulls().group_by("event_id").len().filter(pl.col("len") > 1)
    repeated_ids = ids.select("event_id").collect(engine="streaming")
    repeated = raw.join(repeated_ids.lazy(), on="event_id", how="semi").collect(engine="streaming")
    versions = repeated.unique().with_columns(is_conflicting=pl.len().over("event_id") > 1)
    others = raw.join(repeated_ids.lazy(), on="event_id", how="anti")
    return pl.concat([others.with_columns(is_conflicting=pl.lit(False)), versions.lazy()])


def member(column: str) -> pl.Expr:
    """Return a column with the known members only, as they are written; all others are null."""
    members = known(column)
    written = {member.lower(): member for member in members}
    text = pl.col(column).str.strip_chars(BLANKS).str.to_lowercase()
    return text.replace_strict(written, default=None, return_dtype=pl.Enum(members))


def is_acceptable() -> pl.Expr:
    """Return the condition for a row that breaks no rule; `tidy_*` are its members."""
    within = [pl.col(column).is_between(*ends) for column, ends in limits().items()]
    there = ["event_id", "user_id", *(f"tidy_{column}" for column in KNOWN_MEMBERS)]
    return pl.all_horizontal(
        ~pl.col("is_conflicting"), *within, pl.col(there).is_not_null()
    ).fill_null(False)


def split(rows: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the fact and the rejected rows."""
    starts, bands = age_bands()
    checked = rows.with_columns(
        **{f"tidy_{column}": member(column) for column in KNOWN_MEMBERS}
    ).with_columns(is_accepted=is_acceptable())
    accepted = checked.filter("is_accepted").select(
        "event_id",
        "user_id",
        **{column: f"tidy_{column}" for column in KNOWN_MEMBERS},
        **{name: pl.col(name).cast(pl.Int64) for name in ("user_age", "concurrent_streams")},
        session_duration_minutes="session_duration_minutes",
        is_violation=pl.col("tidy_status") == "violation",
        event_hour=pl.col("timestamp").dt.hour().cast(pl.Int32),
        event_date=pl.col("timestamp").dt.date(),
        weekday=pl.col("timestamp").dt.strftime("%A"),
        age_band=pl.col("user_age").cut(starts, labels=bands, left_closed=True),
        occurred_at="timestamp",
    )
    rejected = checked.filter(~pl.col("is_accepted")).select(COLUMNS)
    # Together, so that the rows are read once.
    return tuple(pl.collect_all([accepted, rejected], engine="streaming"))


def clustered_variance() -> pl.Expr:
    """Return the variance of an event with users as clusters; null for a single user."""
    residual, events = pl.col("residual"), pl.col("events")
    correction = 1 - (events**2).sum() / events.sum() ** 2
    return pl.when(correction > 0).then((residual**2).sum() / events.sum() / correction)


def count_dimension(events: pl.DataFrame, dimension: str) -> pl.DataFrame:
    """Return the members of a dimension, with their variances and that over all of them."""
    columns = DIMENSIONS[dimension]
    of_status = {f"{status}_events": pl.col("status") == status for status in known("status")}
    counts = events.group_by(*columns, "user_id").agg(
        events=pl.len().cast(pl.Int64),
        **{name: condition.sum().cast(pl.Int64) for name, condition in of_status.items()},
    )
    rate = pl.col("violation_events").sum() / pl.col("events").sum()
    rates = counts.group_by(columns).agg(rate=rate)
    residual = pl.col("violation_events") - pl.col("events") * pl.col("rate")
    counts = counts.join(rates, on=columns).with_columns(residual=residual)
    members = counts.group_by(columns).agg(
        pl.col("events", *of_status).sum(),
        users=pl.len().cast(pl.Int64),
        variance=clustered_variance(),
    )
    users = counts.group_by("user_id").agg(pl.col("residual", "events").sum())
    texts = [pl.col(column).cast(pl.String) for column in columns]
    return members.select(
        pl.exclude(columns),
        dimension=pl.lit(dimension),
        member=pl.concat_str(texts, separator=" / "),
        dimension_variance=users.select(clustered_variance()).item(),
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


def session_statistics(events: pl.DataFrame) -> pl.DataFrame:
    """Return the row of session_duration_statistics."""
    minutes = pl.col("session_duration_minutes")
    return events.select(
        events=minutes.len().cast(pl.Int64),
        mean_minutes=minutes.mean(),
        stddev_minutes=minutes.std(),
        min_minutes=minutes.min(),
        p25_minutes=minutes.quantile(0.25, "linear"),
        median_minutes=minutes.median(),
        p75_minutes=minutes.quantile(0.75, "linear"),
        max_minutes=minutes.max(),
    )


def build(pattern: str, folder: Path) -> None:
    """Write the tables into a folder as Parquet, from the Parquet files that a glob names."""
    raw = pl.scan_parquet(pattern).select(COLUMNS)
    events, rejected = split(without_copies(raw))
    for name, table in (
        ("fct_compliance_events", events),
        ("quarantined_compliance_events", rejected),
        ("user_totals", user_totals(events)),
        ("member_counts", pl.concat([count_dimension(events, name) for name in DIMENSIONS])),
        ("session_duration_statistics", session_statistics(events)),
    ):
        table.write_parquet(folder / f"{name}.parquet")
