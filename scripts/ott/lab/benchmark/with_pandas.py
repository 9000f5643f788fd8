"""What costs in a build, with pandas.

Text is read as categories: as plain strings it would take several times the memory and time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ott.lab.benchmark.rules import age_bands, files, limits
from ott.registry import BLANKS, COLUMNS, DIMENSIONS, KNOWN_MEMBERS, known

# Plain integers cannot be missing.
NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}


def tidy(text: object) -> str | None:
    """Return text in small letters without blanks around it; None where nothing is left of it."""
    return (text.strip(BLANKS).lower() if isinstance(text, str) else "") or None


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
    # The last code stands for what is missing, which has the code -1.
    codes = [place.get(tidy(text), -1) for text in column.cat.categories] + [-1]
    return pd.Series(
        pd.Categorical.from_codes(np.array(codes, np.int8)[column.cat.codes], categories=members),
        column.index,
    )


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
            "event_date": occurred_at.dt.normalize(),
            "weekday": occurred_at.dt.day_name(),
            "age_band": pd.cut(
                rows["user_age"].astype("int64"), [-np.inf, *starts, np.inf], False, labels=bands
            ),
            "occurred_at": occurred_at,
        }
    )


def clustered_variance(sums: pd.DataFrame) -> pd.Series:
    """Return the variance of an event with users as clusters; nan for a single user."""
    correction = 1 - sums["squared_events"] / sums["events"] ** 2
    return sums["squared_residuals"] / sums["events"] / correction.where(correction > 0)


def count_dimension(events: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Return the members of a dimension, with their variances and that over all of them."""
    columns = DIMENSIONS[dimension]
    by_user = events.groupby([*columns, "user_id"], observed=True, sort=False)
    counts = by_user[["compliant_events", "warning_events", "violation_events"]].sum()
    counts["events"] = by_user.size()
    counts = counts.reset_index()

    by_member = counts.groupby(columns, observed=True)
    totals = by_member[["events", "compliant_events", "warning_events", "violation_events"]].sum()
    totals["users"] = by_member.size()
    rates = (totals["violation_events"] / totals["events"]).rename("rate")
    counts = counts.join(rates, on=columns)
    counts["residual"] = counts["violation_events"] - counts["events"] * counts["rate"]
    counts["squared_residuals"] = counts["residual"] ** 2
    counts["squared_events"] = counts["events"] ** 2
    sums = counts.groupby(columns, observed=True)[["squared_residuals", "squared_events"]].sum()
    totals["variance"] = clustered_variance(totals.join(sums))

    users = counts.groupby("user_id", sort=False)[["residual", "events"]].sum()
    squares = (users**2).sum()
    overall = {
        "squared_residuals": [squares["residual"]],
        "events": [users["events"].sum()],
        "squared_events": [squares["events"]],
    }
    totals["dimension_variance"] = clustered_variance(pd.DataFrame(overall))[0]
    members = totals.reset_index()
    texts = [members.pop(column).astype(str) for column in columns]
    members.insert(0, "member", texts[0].str.cat(texts[1:], sep=" / "))
    members.insert(0, "dimension", dimension)
    return members


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
    """Write the tables into a folder as Parquet, from the Parquet files that a glob names.

    Raises FileNotFoundError if there are none.
    """
    table = pq.read_table(files(pattern), columns=list(COLUMNS), read_dictionary=[*KNOWN_MEMBERS])
    table = table.unify_dictionaries()
    rows = without_copies(table.to_pandas(types_mapper=NULLABLE.get, self_destruct=True))
    del table
    members = {column: tidied(rows[column]) for column in KNOWN_MEMBERS}
    is_accepted = is_acceptable(rows, members)
    rejected = rows.loc[~is_accepted, list(COLUMNS)]
    rejected.to_parquet(folder / "quarantined_compliance_events.parquet", index=False)
    events = accepted_events(
        rows[is_accepted], {name: member[is_accepted] for name, member in members.items()}
    )
    del rows, members, is_accepted
    fact = pa.Table.from_pandas(events, preserve_index=False)
    dates = fact["event_date"].cast(pa.date32())
    fact = fact.set_column(fact.schema.get_field_index("event_date"), "event_date", dates)
    pq.write_table(fact, folder / "fct_compliance_events.parquet")
    del fact, dates
    for status in known("status"):
        events[f"{status}_events"] = events["status"] == status
    for name, table in (
        ("user_totals", user_totals(events)),
        ("member_counts", pd.concat([count_dimension(events, name) for name in DIMENSIONS])),
        ("session_duration_statistics", session_statistics(events["session_duration_minutes"])),
    ):
        table.to_parquet(folder / f"{name}.parquet", index=False)
