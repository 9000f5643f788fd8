"""What costs in a build, with pandas.

Text is read as categories: as plain strings it would take several times the memory and time.
"""

from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ott.lab.benchmark import age_bands, limits
from ott.registry import BLANKS, COLUMNS, DIMENSIONS, KNOWN_MEMBERS, known

# Plain integers cannot be missing.
NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
COUNTS = ["events", *(f"{status}_events" for status in known("status"))]


def without_copies(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without exact copies; `is_conflicting` says which share their id."""
    is_repeated = raw["event_id"].duplicated(keep=False) & raw["event_id"].notna()
    repeated = raw[is_repeated]
    is_copy = repeated.duplicated()
    versions = repeated[~is_copy]
    conflicting = versions.index[versions["event_id"].duplicated(keep=False)]
    rows = raw.assign(is_conflicting=raw.index.isin(conflicting))
    return rows.drop(index=repeated.index[is_copy])


def tidied(column: pd.Series) -> pd.Series:
    """Return a column of categories with the known members only; all others are missing."""
    members = known(column.name)
    place = {member.lower(): number for number, member in enumerate(members)}
    codes = [place.get(text.strip(BLANKS).lower(), -1) for text in column.cat.categories]
    # The last code stands for what is missing, which has the code -1.
    codes = np.array([*codes, -1], np.int8)[column.cat.codes]
    return pd.Series(pd.Categorical.from_codes(codes, categories=members), column.index)


def is_acceptable(rows: pd.DataFrame, members: dict[str, pd.Series]) -> pd.Series:
    """Return which rows break no rule; `members` are the tidied columns."""
    within = [rows[column].between(*ends).fillna(False) for column, ends in limits().items()]
    there = [column.notna() for column in (rows["event_id"], rows["user_id"], *members.values())]
    return np.logical_and.reduce([~rows["is_conflicting"], *within, *there]).astype(bool)


def accepted_events(rows: pd.DataFrame, members: dict[str, pd.Series]) -> pd.DataFrame:
    """Return the columns of the fact for rows that are all accepted."""
    occurred_at = rows["timestamp"]
    starts, bands = age_bands()
    return pd.DataFrame(
        {
            **rows[["event_id", "user_id"]].astype("int64"),
            **members,
            **rows[["user_age", "concurrent_streams"]].astype("int64"),
            "session_duration_minutes": rows["session_duration_minutes"],
            "is_violation": members["status"] == "violation",
            "event_hour": occurred_at.dt.hour,
            "event_date": occurred_at.astype(pd.ArrowDtype(pa.date32())),
            "weekday": occurred_at.dt.day_name(),
            "age_band": pd.cut(
                rows["user_age"].astype("int64"), [-np.inf, *starts, np.inf], False, labels=bands
            ),
            "occurred_at": occurred_at,
        }
    )


def clustered_variance(squared: pd.Series | pd.DataFrame, events: pd.Series | int) -> np.ndarray:
    """Return the variance of an event with users as clusters; nan for a single user.

    `squared` are the sums over users of their squared residuals and of their squared events.
    """
    correction = 1 - squared["events"] / events**2
    return squared["residual"] / events / np.where(correction > 0, correction, np.nan)


def count_dimension(events: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Return the members of a dimension, with their variances and that over all of them."""
    columns = DIMENSIONS[dimension]
    by_user = events.groupby([*columns, "user_id"], observed=True, sort=False)
    counts = by_user[COUNTS].sum().reset_index()

    by_member = counts.groupby(columns, observed=True)
    members = by_member[COUNTS].sum()
    members["users"] = by_member.size()
    rates = (members["violation_events"] / members["events"]).rename("rate")
    counts = counts.join(rates, on=columns)
    counts["residual"] = counts["violation_events"] - counts["events"] * counts["rate"]
    squared = counts[columns].join(counts[["residual", "events"]] ** 2)
    squared = squared.groupby(columns, observed=True).sum()
    members["variance"] = clustered_variance(squared, members["events"])

    users = counts.groupby("user_id", sort=False)[["residual", "events"]].sum()
    overall = clustered_variance((users**2).sum(), users["events"].sum())
    members = members.assign(dimension=dimension, dimension_variance=overall).reset_index()
    texts = [members.pop(column).astype(str) for column in columns]
    return members.assign(member=texts[0].str.cat(texts[1:], sep=" / "))


def user_totals(events: pd.DataFrame) -> pd.DataFrame:
    """Return one row a user, with the age of the event with the lowest id."""
    by_user = events.groupby("user_id")
    first = events.loc[by_user["event_id"].idxmin(), ["user_id", "user_age"]].set_index("user_id")
    return first.assign(
        events=by_user.size(),
        violation_events=by_user["is_violation"].sum(),
        warning_events=by_user["warning_events"].sum(),
        average_session_duration_minutes=by_user["session_duration_minutes"].mean(),
        average_concurrent_streams=by_user["concurrent_streams"].mean(),
        first_event_at=by_user["occurred_at"].min(),
        last_event_at=by_user["occurred_at"].max(),
    ).reset_index()


def session_statistics(minutes: pd.Series) -> pd.DataFrame:
    """Return the row of session_duration_statistics."""
    names = {"std": "stddev", "25%": "p25", "50%": "median", "75%": "p75"}
    described = minutes.describe().rename(lambda name: f"{names.get(name, name)}_minutes")
    row = described.rename({"count_minutes": "events"}).to_frame().T
    return row.astype({"events": "int64"})


def build(pattern: str, folder: Path) -> None:
    """Write the tables into a folder as Parquet, from the Parquet files that a glob names."""

    def write(name: str, table: pd.DataFrame) -> None:
        table.to_parquet(folder / f"{name}.parquet", index=False)

    table = pq.read_table(
        sorted(glob(pattern)), columns=list(COLUMNS), read_dictionary=[*KNOWN_MEMBERS]
    ).unify_dictionaries()
    rows = without_copies(table.to_pandas(types_mapper=NULLABLE.get, self_destruct=True))
    del table
    members = {column: tidied(rows[column]) for column in KNOWN_MEMBERS}
    is_accepted = is_acceptable(rows, members)
    write("quarantined_compliance_events", rows.loc[~is_accepted, list(COLUMNS)])
    members = {name: member[is_accepted] for name, member in members.items()}
    events = accepted_events(rows[is_accepted], members)
    del rows, members, is_accepted
    write("fct_compliance_events", events)
    events["events"] = True
    for status in known("status"):
        events[f"{status}_events"] = events["status"] == status
    write("user_totals", user_totals(events))
    write("member_counts", pd.concat([count_dimension(events, name) for name in DIMENSIONS]))
    write("session_duration_statistics", session_statistics(events["session_duration_minutes"]))
