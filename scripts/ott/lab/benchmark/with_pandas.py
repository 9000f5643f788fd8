"""The figures of the marts with pandas: `python -m ott.lab.benchmark.with_pandas EVENTS FOLDER`.

Text is read as categories: as plain strings it would take several times the memory and time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ott.lab.benchmark import findings
from ott.lab.benchmark.findings import Counts, Day, Dimension, Member, Users, clustered_variance
from ott.lab.benchmark.output import write_quarantine, write_rows
from ott.lab.benchmark.reference import COLUMNS, KNOWN_MEMBERS, METRICS, files, known, limits, tidy

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
# Plain integers cannot be missing.
NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}


# --- events --------------------------------------------------------------------------------------


def read(pattern: str) -> pd.DataFrame:
    """Return the raw events of Parquet files."""
    table = pq.read_table(files(pattern), columns=list(COLUMNS), read_dictionary=[*KNOWN_MEMBERS])
    # A column of floats does not tell null from nan.
    is_null = table["session_duration_minutes"].is_null().to_pandas()
    table = table.unify_dictionaries()
    raw = table.to_pandas(types_mapper=NULLABLE.get, self_destruct=True)
    return raw.assign(is_duration_null=is_null)


def without_copies(raw: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the rows without exact copies and how many these were.

    Adds `is_conflicting` to different rows with the same id.
    """
    is_repeated = raw["event_id"].duplicated(keep=False) & raw["event_id"].notna()
    repeated = raw[is_repeated]
    is_copy = repeated.duplicated()
    versions = repeated[~is_copy]
    conflicting = versions.index[versions["event_id"].duplicated(keep=False)]
    rows = raw.assign(is_conflicting=raw.index.isin(conflicting))
    return rows.drop(index=repeated.index[is_copy]), int(is_copy.sum())


def tidied(column: pd.Series) -> pd.Series:
    """Return a column of categories with the known members only; all others are missing."""
    members = known(column.name)
    place = {member: number for number, member in enumerate(members)}
    # The last code stands for what is missing, which has the code -1.
    codes = [place.get(tidy(column.name, text), -1) for text in column.cat.categories] + [-1]
    return pd.Series(
        pd.Categorical.from_codes(np.array(codes, np.int8)[column.cat.codes], categories=members),
        column.index,
    )


def is_acceptable(rows: pd.DataFrame, members: dict[str, pd.Series]) -> pd.Series:
    """Return which rows break no rule; `members` are the tidied columns."""
    allowed = limits()
    return (
        rows["event_id"].notna()
        & ~rows["is_conflicting"]
        & rows["timestamp"].between(allowed.earliest, allowed.latest)
        & rows["user_id"].notna()
        & rows["user_age"].between(allowed.minimum_age, allowed.maximum_age).fillna(False)
        & rows["session_duration_minutes"].between(0, allowed.maximum_minutes)
        & rows["concurrent_streams"].between(1, allowed.maximum_streams).fillna(False)
        & np.logical_and.reduce([member.notna() for member in members.values()])
    ).astype(bool)


def rejection_reasons(rejected: pd.DataFrame) -> pd.DataFrame:
    """Return a column for each reason, in the order of the seed, that says which rows have it."""
    allowed = limits()
    minutes = rejected["session_duration_minutes"]
    is_null = rejected["is_duration_null"]
    is_finite = pd.Series(np.isfinite(minutes), rejected.index)

    def membership(column: str) -> dict[str, pd.Series]:
        texts = rejected[column].astype(object)
        tidy_texts = texts.map(lambda text: tidy(column, text) if isinstance(text, str) else None)
        is_missing = tidy_texts.isna()
        return {
            f"{column}_missing": is_missing,
            f"{column}_unknown": ~is_missing & ~tidy_texts.isin(known(column)),
        }

    reasons = {
        "event_id_missing": rejected["event_id"].isna(),
        "event_id_conflicting": rejected["is_conflicting"],
        "timestamp_missing": rejected["timestamp"].isna(),
        "timestamp_too_early": rejected["timestamp"] < allowed.earliest,
        "timestamp_in_future": rejected["timestamp"] > allowed.latest,
        "user_id_missing": rejected["user_id"].isna(),
        **membership("region"),
        **membership("regulation"),
        **membership("event_type"),
        **membership("status"),
        "user_age_missing": rejected["user_age"].isna(),
        "user_age_out_of_range": (
            (rejected["user_age"] < allowed.minimum_age)
            | (rejected["user_age"] > allowed.maximum_age)
        ).fillna(False),
        "session_duration_minutes_missing": is_null,
        "session_duration_minutes_not_finite": ~is_finite & ~is_null,
        "session_duration_minutes_negative": is_finite & (minutes < 0),
        "session_duration_minutes_too_long": is_finite & (minutes > allowed.maximum_minutes),
        "concurrent_streams_missing": rejected["concurrent_streams"].isna(),
        "concurrent_streams_below_one": (rejected["concurrent_streams"] < 1).fillna(False),
        "concurrent_streams_too_many": (
            rejected["concurrent_streams"] > allowed.maximum_streams
        ).fillna(False),
        **membership("data_shared"),
    }
    return pd.DataFrame({reason: mask.astype(bool) for reason, mask in reasons.items()})


def quarantine(rejected: pd.DataFrame, folder: Path) -> dict[str, int]:
    """Write the rejected rows with their reasons and return how many each reason has."""
    reasons = rejection_reasons(rejected)
    lists = [",".join(reasons.columns[mask]) for mask in reasons.to_numpy()]
    values = rejected[list(COLUMNS)].astype(object)
    values = values.where(values.notna(), None)
    is_nan = rejected["session_duration_minutes"].isna() & ~rejected["is_duration_null"]
    values.loc[is_nan, "session_duration_minutes"] = float("nan")
    rows = ((*row, text) for row, text in zip(values.itertuples(index=False), lists, strict=True))
    write_quarantine(folder, rows)
    return reasons.sum().to_dict()


def accepted_events(rows: pd.DataFrame, members: dict[str, pd.Series]) -> pd.DataFrame:
    """Return the columns of the fact for rows that are all accepted."""
    occurred_at = rows["timestamp"]
    return pd.DataFrame(
        {
            "event_id": rows["event_id"].astype("int64"),
            "user_id": rows["user_id"].astype("int64"),
            **members,
            "user_age": rows["user_age"].astype("int64"),
            "concurrent_streams": rows["concurrent_streams"].astype("int64"),
            "session_duration_minutes": rows["session_duration_minutes"],
            "is_violation": members["status"] == "violation",
            "event_hour": occurred_at.dt.hour,
            "event_date": occurred_at.dt.normalize(),
            "occurred_at": occurred_at,
        }
    )


def write_events(events: pd.DataFrame, folder: Path) -> None:
    """Write the fact."""
    table = pa.Table.from_pandas(events, preserve_index=False)
    place = table.schema.get_field_index("event_date")
    table = table.set_column(place, "event_date", table["event_date"].cast(pa.date32()))
    pq.write_table(table, folder / "fct_compliance_events.parquet")


# --- figures -------------------------------------------------------------------------------------


def count_dimension(events: pd.DataFrame, columns: list[str]) -> Dimension:
    """Return the members of a dimension, with the variances that its design effect needs."""
    counts = events.groupby([*columns, "user_id"], observed=True, sort=False)[
        ["is_warning", "is_violation"]
    ].sum()
    counts.columns = ["warning_events", "violation_events"]
    counts["events"] = events.groupby([*columns, "user_id"], observed=True, sort=False).size()
    counts = counts.reset_index()

    by_member = counts.groupby(columns, observed=True)
    totals = by_member[["events", "warning_events", "violation_events"]].sum()
    totals["users"] = by_member.size()
    rates = (totals["violation_events"] / totals["events"]).rename("rate")
    counts = counts.join(rates, on=columns)
    counts["residual"] = counts["violation_events"] - counts["events"] * counts["rate"]
    counts["squared_residual"] = counts["residual"] ** 2
    counts["squared_events"] = counts["events"] ** 2
    squares = counts.groupby(columns, observed=True)[["squared_residual", "squared_events"]].sum()

    by_user = counts.groupby("user_id", sort=False)[["residual", "events"]].sum()
    members = {}
    for row in totals.join(squares).itertuples():
        parts = row.Index if isinstance(row.Index, tuple) else (row.Index,)
        name = " / ".join(
            f"{part:%Y-%m-%d}" if isinstance(part, pd.Timestamp) else str(part) for part in parts
        )
        members[name] = Member(
            int(row.events),
            int(row.warning_events),
            int(row.violation_events),
            int(row.users),
            clustered_variance(row.squared_residual, int(row.events), int(row.squared_events)),
        )
    return Dimension(
        members,
        clustered_variance(
            float((by_user["residual"] ** 2).sum()),
            int(by_user["events"].sum()),
            int((by_user["events"] ** 2).sum()),
        ),
    )


def user_totals(events: pd.DataFrame) -> pd.DataFrame:
    """Return one row a user, with the age of the event with the lowest id."""
    by_user = events.groupby("user_id")
    first = events.loc[by_user["event_id"].idxmin(), ["user_id", "user_age"]].set_index("user_id")
    return first.assign(
        events=by_user.size(),
        violation_events=by_user["is_violation"].sum(),
        warning_events=by_user["is_warning"].sum(),
        average_session_duration_minutes=by_user["session_duration_minutes"].mean(),
        average_concurrent_streams=by_user["concurrent_streams"].mean(),
        first_event_at=by_user["occurred_at"].min(),
        last_event_at=by_user["occurred_at"].max(),
    ).reset_index()


def count_days(events: pd.DataFrame) -> list[Day]:
    """Return the days with events."""
    days = events.groupby("event_date").agg(
        events=("is_violation", "size"),
        violation_events=("is_violation", "sum"),
        first_hour=("event_hour", "min"),
        last_hour=("event_hour", "max"),
    )
    return [
        Day(row.Index.date(), row.events, row.violation_events, row.first_hour, row.last_hour)
        for row in days.itertuples()
    ]


def session_statistics(minutes: pd.Series) -> dict[str, object]:
    """Return the row of session_duration_statistics."""
    described = minutes.describe()
    return {
        "events": int(described["count"]),
        "mean_minutes": described["mean"],
        "stddev_minutes": described["std"],
        "min_minutes": described["min"],
        "p25_minutes": described["25%"],
        "median_minutes": described["50%"],
        "p75_minutes": described["75%"],
        "max_minutes": described["max"],
    }


def build(pattern: str, folder: Path) -> None:
    """Write all tables of the schema marts into a folder, from the Parquet files of a glob.

    Raises FileNotFoundError if there are none.
    """
    raw = read(pattern)
    raw_rows = len(raw)
    rows, copies = without_copies(raw)
    del raw
    members = {column: tidied(rows[column]) for column in KNOWN_MEMBERS}
    is_accepted = is_acceptable(rows, members)
    rejections = quarantine(rows[~is_accepted], folder)
    quarantined = len(rows) - int(is_accepted.sum())
    events = accepted_events(
        rows[is_accepted], {name: member[is_accepted] for name, member in members.items()}
    )
    del rows, members, is_accepted
    write_events(events, folder)

    events["is_warning"] = events["status"] == "warning"
    users = user_totals(events)
    counted_users = Users(
        *(
            users[column].to_numpy()
            for column in ("user_id", "events", "warning_events", "violation_events")
        )
    )
    judgement = findings.judge(counted_users)
    users.insert(5, "violation_rate", judgement.violation_rate)
    users = users.assign(
        risk_tier=judgement.risk_tier,
        p_value=judgement.p_value,
        p_adjusted=judgement.p_adjusted,
        shrunk_violation_rate=judgement.shrunk_violation_rate,
        risk_evidence=judgement.risk_evidence,
    )
    users.to_parquet(folder / "dim_users.parquet", index=False)
    top = users.iloc[findings.top_users(counted_users, judgement)]
    top.insert(0, "risk_rank", range(1, len(top) + 1))
    top.to_parquet(folder / "top_risk_users.parquet", index=False)

    metrics = events[list(METRICS)].astype(float)
    counts = Counts(
        raw_rows=raw_rows,
        accepted_rows=len(events),
        quarantined_rows=quarantined,
        exact_copies_dropped=copies,
        rejections=rejections,
        dimensions={name: count_dimension(events, columns) for name, columns in DIMENSIONS.items()},
        days=count_days(events),
        users=counted_users,
        judgement=judgement,
        session_statistics=session_statistics(events["session_duration_minutes"]),
        average_concurrent_streams=float(events["concurrent_streams"].mean()),
        median_user_age=float(events["user_age"].median()),
        pearson=metrics.corr().to_numpy(),
        spearman=metrics.rank().corr().to_numpy(),
        session_durations=(events["session_duration_minutes"].to_numpy(), None),
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
