"""Every figure of the marts, computed a second time with pandas and numpy from the raw file.

Nothing here is derived from the SQL of the models. Counts and text must be equal, other numbers
agree to 1e-9.
"""

from itertools import product

import numpy as np
import pandas as pd
import pytest

REGIONS = ["US", "EU", "ASIA", "LATAM", "AFRICA"]
REGULATIONS = ["GDPR", "CCPA", "PIPL", "LGPD", "PDPA"]
STATUSES = ["compliant", "warning", "violation"]

# The dimensions of which every member is present in a breakdown, with zeros if nothing happened.
KNOWN_MEMBERS = {
    "region": REGIONS,
    "regulation": REGULATIONS,
    "event_type": [
        "login",
        "stream_start",
        "stream_pause",
        "stream_end",
        "download",
        "profile_update",
    ],
    "event_hour": list(range(24)),
    "data_shared": ["none", "partial", "full"],
    "risk_tier": ["low", "medium", "high"],
}

# The marts that share one shape, and their member columns.
BREAKDOWNS = {
    "compliance_by_region": ["region"],
    "compliance_by_regulation": ["regulation"],
    "compliance_by_region_and_regulation": ["region", "regulation"],
    "compliance_by_event_type": ["event_type"],
    "compliance_by_hour": ["event_hour"],
    "compliance_by_date": ["event_date"],
    "compliance_by_concurrent_streams": ["concurrent_streams"],
    "compliance_by_data_sharing": ["data_shared"],
    "compliance_by_user_risk_tier": ["risk_tier"],
}

# How many members each of them has, on the committed events.
BREAKDOWN_ROWS = {
    "compliance_by_region": 5,
    "compliance_by_regulation": 5,
    "compliance_by_region_and_regulation": 25,
    "compliance_by_event_type": 6,
    "compliance_by_hour": 24,
    "compliance_by_date": 31,
    "compliance_by_concurrent_streams": 5,
    "compliance_by_data_sharing": 3,
    "compliance_by_user_risk_tier": 3,
}


# --- The events and what is computed from them ---------------------------------------------------


@pytest.fixture(scope="module")
def events(built_project) -> pd.DataFrame:
    """The raw file as pandas reads it, with the derived columns."""
    events = pd.read_csv(
        built_project.events_file,
        keep_default_na=False,  # 'none' is a level of data sharing
        parse_dates=["timestamp"],
        converters={"session_duration_minutes": float},  # every digit counts
    )
    occurred_at = events.pop("timestamp").astype("datetime64[us]")
    return events.assign(
        occurred_at=occurred_at,
        event_hour=occurred_at.dt.hour,
        event_date=occurred_at.dt.normalize(),
        is_violation=events["status"] == "violation",
    )


@pytest.fixture(scope="module")
def users(events) -> pd.DataFrame:
    """One row per user."""
    by_user = events.sort_values("event_id").groupby("user_id")
    users = pd.DataFrame(
        {
            "user_age": by_user["user_age"].first(),
            "events": by_user.size(),
            "violation_events": by_user["is_violation"].sum(),
            "warning_events": by_user["status"].agg(lambda status: (status == "warning").sum()),
            "average_session_duration_minutes": by_user["session_duration_minutes"].mean(),
            "average_concurrent_streams": by_user["concurrent_streams"].mean(),
            "first_event_at": by_user["occurred_at"].min(),
            "last_event_at": by_user["occurred_at"].max(),
        }
    ).reset_index()
    users["violation_rate"] = users["violation_events"] / users["events"]
    users["risk_tier"] = pd.cut(
        users["violation_rate"] * 100,
        bins=[0, 2, 5, 100],
        labels=KNOWN_MEMBERS["risk_tier"],
        include_lowest=True,
    ).astype(str)
    return users


@pytest.fixture(scope="module")
def events_with_tier(events, users) -> pd.DataFrame:
    """The events with the risk tier of their user."""
    return events.merge(users[["user_id", "risk_tier"]], on="user_id", validate="many_to_one")


def breakdown(events: pd.DataFrame, *members: str) -> pd.DataFrame:
    """Events, users and rates by status of every combination of members."""
    levels = [KNOWN_MEMBERS.get(member, sorted(events[member].unique())) for member in members]
    rows = []
    for combination in product(*levels):
        chosen = events
        for member, level in zip(members, combination, strict=True):
            chosen = chosen[chosen[member] == level]
        row = dict(zip(members, combination, strict=True))
        row["events"] = len(chosen)
        row["users"] = chosen["user_id"].nunique()
        row["event_share"] = len(chosen) / len(events)
        for status in STATUSES:
            count = int((chosen["status"] == status).sum())
            row[f"{status}_events"] = count
            row[f"{status}_rate"] = count / len(chosen) if len(chosen) else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def assert_same_rows(mart: pd.DataFrame, expected: pd.DataFrame, key: list[str]) -> None:
    """The mart has exactly the expected rows; it may have more columns."""
    mart = mart.sort_values(key, ignore_index=True)
    expected = expected.sort_values(key, ignore_index=True)
    for column in [*key, *expected.columns.drop(key)]:
        actual, wanted = mart[column], expected[column]
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-9, err_msg=column)
        else:
            assert actual.tolist() == wanted.tolist(), column


def assert_same_series(actual: pd.Series, expected: pd.Series) -> None:
    """Both have the same members, in any order, with the same numbers."""
    assert sorted(actual.index) == sorted(expected.index)
    np.testing.assert_allclose(actual.loc[expected.index], expected, rtol=0, atol=1e-9)


# --- Events and users ----------------------------------------------------------------------------


def test_fct_compliance_events_are_the_raw_events_row_for_row(marts, events):
    mart = marts("fct_compliance_events").sort_values("event_id", ignore_index=True)

    # Session durations too: not one bit may differ.
    pd.testing.assert_frame_equal(mart[events.columns.tolist()], events, check_exact=True)
    assert len(mart) == 5000


def test_quarantined_compliance_events_is_empty(marts):
    assert marts("quarantined_compliance_events").empty


def test_dim_users(marts, users):
    assert_same_rows(marts("dim_users"), users, key=["user_id"])


def test_dim_users_has_the_age_of_the_lowest_event_id(marts, events):
    """The seed has users of several ages, so that another choice of row would be seen."""
    ages = marts("dim_users").set_index("user_id")["user_age"]
    first_events = events.loc[events.groupby("user_id")["event_id"].idxmin()]
    assert (events.groupby("user_id")["user_age"].nunique() > 1).any()
    assert_same_series(ages, first_events.set_index("user_id")["user_age"])


# --- Breakdowns ----------------------------------------------------------------------------------


def test_compliance_by_status(marts, events):
    by_status = events.groupby("status")
    expected = pd.DataFrame(
        {
            "events": by_status.size(),
            "users": by_status["user_id"].nunique(),
            "event_share": by_status.size() / len(events),
        }
    ).reset_index()
    assert sorted(expected["status"]) == sorted(STATUSES)
    assert_same_rows(marts("compliance_by_status"), expected, key=["status"])


@pytest.mark.parametrize("name", BREAKDOWNS)
def test_breakdown(marts, events_with_tier, name):
    members = BREAKDOWNS[name]
    expected = breakdown(events_with_tier, *members)
    assert len(expected) == BREAKDOWN_ROWS[name]
    assert_same_rows(marts(name), expected, key=members)


@pytest.mark.parametrize("name", BREAKDOWNS)
def test_breakdown_accounts_for_every_event(marts, name):
    mart = marts(name)
    assert mart["events"].sum() == 5000
    assert mart["event_share"].sum() == pytest.approx(1, rel=0, abs=1e-9)


def test_compliance_by_date_flags_the_first_and_the_last_day(marts, events):
    """The first day of the seed lacks its first hour, the last has no other."""
    mart = marts("compliance_by_date")
    partial = mart.loc[mart["is_partial_day"], "event_date"]
    assert sorted(partial) == [events["event_date"].min(), events["event_date"].max()]
    assert mart["is_partial_day"].notna().all()


def test_compliance_by_user_risk_tier_keeps_the_empty_tier(marts):
    """No user of the seed lies between 2 and 5 %."""
    mart = marts("compliance_by_user_risk_tier").set_index("risk_tier")
    assert mart["users"].to_dict() == {"low": 2609, "medium": 0, "high": 268}
    assert mart.loc["medium", ["compliant_rate", "warning_rate", "violation_rate"]].isna().all()


# --- Distributions -------------------------------------------------------------------------------


def test_session_duration_statistics(marts, events):
    expected = events["session_duration_minutes"].describe()
    mart = marts("session_duration_statistics")
    assert len(mart) == 1
    actual = mart.iloc[0][
        [
            "events",
            "mean_minutes",
            "stddev_minutes",
            "min_minutes",
            "p25_minutes",
            "median_minutes",
            "p75_minutes",
            "max_minutes",
        ]
    ]
    assert expected.index.tolist() == ["count", "mean", "std", "min", "25%", "50%", "75%", "max"]
    np.testing.assert_allclose(actual.to_numpy(dtype=float), expected, rtol=0, atol=1e-9)


HISTOGRAMS = {
    "session_duration_histogram": ("events", "session_duration_minutes", 50),
    "user_age_histogram": ("users", "user_age", 20),
    "user_violation_rate_histogram": ("users", "violation_rate", 30),
}


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_histogram(marts, events, users, name):
    """Violation rates are counted as fractions.

    In percent the bin edges are rounded differently, and rates of 1/6, 1/3 and 2/3, which lie on
    an edge, fall one bin lower.
    """
    counted, column, bins = HISTOGRAMS[name]
    source = {"events": events, "users": users}[counted]
    frequencies, edges = np.histogram(source[column], bins=bins)
    expected = pd.DataFrame(
        {
            "bin_number": range(1, bins + 1),
            "bin_start": edges[:-1],
            "bin_end": edges[1:],
            "frequency": frequencies,
        }
    )
    assert_same_rows(marts(name), expected, key=["bin_number"])


# --- Summary -------------------------------------------------------------------------------------


def violation_rate_by(events: pd.DataFrame, column: str) -> pd.Series:
    return events.groupby(column)["is_violation"].mean()


def full_minus_none(events: pd.DataFrame) -> float:
    rates = violation_rate_by(events, "data_shared")
    return rates["full"] - rates["none"]


def high_risk_users(events: pd.DataFrame) -> int:
    return int((violation_rate_by(events, "user_id") > 0.05).sum())


SUMMARY = {
    "total_events": len,
    "unique_users": lambda events: events["user_id"].nunique(),
    "first_event_date": lambda events: events["occurred_at"].min().strftime("%Y-%m-%d"),
    "last_event_date": lambda events: events["occurred_at"].max().strftime("%Y-%m-%d"),
    "regions_covered": lambda events: ",".join(sorted(set(events["region"]))),
    "regulations_tracked": lambda events: ",".join(sorted(set(events["regulation"]))),
    "compliant_events": lambda events: (events["status"] == "compliant").sum(),
    "compliant_rate": lambda events: (events["status"] == "compliant").mean(),
    "warning_events": lambda events: (events["status"] == "warning").sum(),
    "warning_rate": lambda events: (events["status"] == "warning").mean(),
    "violation_events": lambda events: events["is_violation"].sum(),
    "violation_rate": lambda events: events["is_violation"].mean(),
    **{
        f"violation_rate_{region.lower()}": lambda events, region=region: violation_rate_by(
            events, "region"
        )[region]
        for region in REGIONS
    },
    "average_session_duration_minutes": lambda events: events["session_duration_minutes"].mean(),
    "average_concurrent_streams": lambda events: events["concurrent_streams"].mean(),
    "median_user_age": lambda events: events["user_age"].median(),
    "peak_traffic_hour": lambda events: events.groupby("event_hour").size().idxmax(),
    "peak_traffic_hour_events": lambda events: events.groupby("event_hour").size().max(),
    "highest_violation_hour": lambda events: violation_rate_by(events, "event_hour").idxmax(),
    "highest_violation_hour_rate": lambda events: violation_rate_by(events, "event_hour").max(),
    "high_risk_users": high_risk_users,
    "highest_violation_region": lambda events: violation_rate_by(events, "region").idxmax(),
    "best_compliance_region": lambda events: (
        (events["status"] == "compliant").groupby(events["region"]).mean().idxmax()
    ),
    "highest_violation_regulation": lambda events: violation_rate_by(events, "regulation").idxmax(),
    "highest_violation_regulation_rate": lambda events: violation_rate_by(
        events, "regulation"
    ).max(),
    "highest_violation_data_sharing": lambda events: violation_rate_by(
        events, "data_shared"
    ).idxmax(),
    "full_minus_none_sharing_rate": full_minus_none,
    "most_common_event_type": lambda events: events.groupby("event_type").size().idxmax(),
    "most_common_event_type_events": lambda events: events.groupby("event_type").size().max(),
}


@pytest.mark.parametrize("metric", SUMMARY)
def test_compliance_summary(marts, events, metric):
    mart = marts("compliance_summary")
    rows = mart[mart["metric"] == metric]
    assert len(rows) == 1
    row = rows.iloc[0]
    expected = SUMMARY[metric](events)
    if isinstance(expected, str):
        assert row["value_text"] == expected
        assert pd.isna(row["value_number"])
    else:
        assert row["value_number"] == pytest.approx(expected, rel=0, abs=1e-9)
        assert pd.isna(row["value_text"])


def test_compliance_summary_is_in_order_and_labelled(marts):
    mart = marts("compliance_summary").sort_values("display_order")
    assert mart["display_order"].is_unique
    assert mart[["section", "unit"]].map(bool).all(axis=None)
    assert mart[["section", "unit"]].notna().all(axis=None)
    # A section is one block, so that a table of the summary can be read from top to bottom.
    assert (mart["section"] != mart["section"].shift()).sum() == mart["section"].nunique()


# --- The notebook --------------------------------------------------------------------------------
# The expressions of the pandas notebook that the project grew from, as they stand there. It counts
# in percent.


@pytest.fixture(scope="module")
def df(events) -> pd.DataFrame:
    """The data frame of the notebook."""
    df = events.rename(columns={"occurred_at": "timestamp"})
    df["hour"] = df["timestamp"].dt.hour
    df["date"] = df["timestamp"].dt.date
    return df


@pytest.fixture(scope="module")
def user_stats(df) -> pd.DataFrame:
    """The notebook's segmentation of users."""
    user_stats = (
        df.groupby("user_id")
        .agg(
            {
                "event_id": "count",
                "status": lambda x: (x == "violation").sum(),
                "session_duration_minutes": "mean",
                "concurrent_streams": "mean",
                "user_age": "first",
            }
        )
        .rename(
            columns={
                "event_id": "total_events",
                "status": "violations",
                "session_duration_minutes": "avg_session_duration",
                "concurrent_streams": "avg_concurrent_streams",
            }
        )
    )
    user_stats["violation_rate"] = (user_stats["violations"] / user_stats["total_events"]) * 100
    user_stats["risk_level"] = pd.cut(
        user_stats["violation_rate"], bins=[0, 2, 5, 100], labels=["Low", "Medium", "High"]
    )
    return user_stats


@pytest.fixture(scope="module")
def summary(marts) -> pd.DataFrame:
    """The summary by metric."""
    return marts("compliance_summary").set_index("metric")


def test_notebook_status(marts, df):
    compliance_counts = df["status"].value_counts()
    compliance_pct = df["status"].value_counts(normalize=True) * 100

    mart = marts("compliance_by_status").set_index("status")
    assert mart["events"].to_dict() == {"compliant": 3947, "warning": 776, "violation": 277}
    assert mart["events"].to_dict() == compliance_counts.to_dict()
    assert_same_series(mart["event_share"] * 100, compliance_pct)


@pytest.mark.parametrize("column", ["region", "event_type", "data_shared"])
def test_notebook_status_shares(marts, df, column):
    shares = pd.crosstab(df[column], df["status"], normalize="index") * 100
    counts = df[column].value_counts()

    name = "data_sharing" if column == "data_shared" else column
    mart = marts(f"compliance_by_{name}").set_index(column)
    assert mart["events"].to_dict() == counts.to_dict()
    for status in shares.columns:
        assert_same_series(mart[f"{status}_rate"] * 100, shares[status])


def test_notebook_region(marts, df, summary):
    regional_compliance = pd.crosstab(df["region"], df["status"], normalize="index") * 100
    highest, best = summary.loc[["highest_violation_region", "best_compliance_region"]].value_text
    assert highest == regional_compliance["violation"].idxmax() == "AFRICA"
    assert best == regional_compliance["compliant"].idxmax()

    mart = marts("compliance_by_region").set_index("region")
    assert mart.loc["AFRICA", ["violation_events", "events"]].tolist() == [16, 250]
    for region in df["region"].unique():
        region_violations = (df[df["region"] == region]["status"] == "violation").sum()
        region_total = len(df[df["region"] == region])
        assert mart.at[region, "violation_events"] == region_violations
        assert mart.at[region, "events"] == region_total
        assert mart.at[region, "violation_rate"] * 100 == pytest.approx(
            region_violations / region_total * 100, rel=0, abs=1e-9
        )


def test_notebook_regulation(marts, df, summary):
    regulation_compliance = pd.crosstab(df["regulation"], df["status"])
    regulation_violation_rate = (
        regulation_compliance["violation"] / (regulation_compliance.sum(axis=1))
    ) * 100
    violation_rate_sorted = regulation_violation_rate.sort_values(ascending=False)

    mart = marts("compliance_by_regulation").set_index("regulation")
    for status in regulation_compliance.columns:
        assert mart[f"{status}_events"].to_dict() == regulation_compliance[status].to_dict()
    assert_same_series(mart["violation_rate"] * 100, violation_rate_sorted)
    by_rate = mart.sort_values("violation_rate", ascending=False)
    assert by_rate.index.tolist() == violation_rate_sorted.index.tolist()
    most_violated = summary.at["highest_violation_regulation", "value_text"]
    assert most_violated == violation_rate_sorted.idxmax()


def test_notebook_sessions_and_streams(marts, df):
    concurrent_stats = df["concurrent_streams"].value_counts().sort_index()
    mart = marts("compliance_by_concurrent_streams").set_index("concurrent_streams")
    assert mart["events"].to_dict() == concurrent_stats.to_dict()

    frequencies, _ = np.histogram(df["session_duration_minutes"], bins=50)
    histogram = marts("session_duration_histogram").sort_values("bin_number")
    assert histogram["frequency"].tolist() == frequencies.tolist()
    mean = marts("session_duration_statistics").at[0, "mean_minutes"]
    assert mean == pytest.approx(df["session_duration_minutes"].mean(), rel=0, abs=1e-9)


def test_notebook_hours(marts, df, summary):
    hourly_stats = (
        df.groupby("hour")
        .agg({"event_id": "count", "status": lambda x: (x == "violation").sum()})
        .rename(columns={"event_id": "total_events", "status": "violations"})
    )
    hourly_stats["violation_rate"] = (
        hourly_stats["violations"] / hourly_stats["total_events"]
    ) * 100

    mart = marts("compliance_by_hour").set_index("event_hour")
    assert mart["events"].to_dict() == hourly_stats["total_events"].to_dict()
    assert mart["violation_events"].to_dict() == hourly_stats["violations"].to_dict()
    assert_same_series(mart["violation_rate"] * 100, hourly_stats["violation_rate"])

    number = summary["value_number"]
    assert number["peak_traffic_hour"] == hourly_stats["total_events"].idxmax()
    assert number["peak_traffic_hour_events"] == hourly_stats["total_events"].max()
    assert number["highest_violation_hour"] == hourly_stats["violation_rate"].idxmax() == 22
    assert number["highest_violation_hour_rate"] * 100 == pytest.approx(
        hourly_stats["violation_rate"].max(), rel=0, abs=1e-9
    )
    assert mart.loc[22, ["violation_events", "events"]].tolist() == [21, 197]


def test_notebook_users(marts, user_stats):
    mart = marts("dim_users").set_index("user_id")
    assert len(mart) == len(user_stats) == 2877
    assert_same_series(mart["events"], user_stats["total_events"])
    assert_same_series(mart["violation_events"], user_stats["violations"])
    assert_same_series(mart["violation_rate"] * 100, user_stats["violation_rate"])
    assert_same_series(mart["average_session_duration_minutes"], user_stats["avg_session_duration"])
    assert_same_series(mart["average_concurrent_streams"], user_stats["avg_concurrent_streams"])
    assert_same_series(mart["user_age"], user_stats["user_age"])

    frequencies, _ = np.histogram(user_stats["user_age"], bins=20)
    histogram = marts("user_age_histogram").sort_values("bin_number")
    assert histogram["frequency"].tolist() == frequencies.tolist()


def test_notebook_risk_levels(marts, user_stats, summary):
    """A user without violations has no level in the notebook, and is a low risk in the mart."""
    level = user_stats["risk_level"]
    assert (level == "High").sum() == 268
    assert level.isna().sum() == 2609
    assert (user_stats.loc[level.isna(), "violations"] == 0).all()

    tier = marts("dim_users").set_index("user_id")["risk_tier"]
    expected = level.cat.add_categories("low").fillna("low").astype(str).str.lower()
    assert tier.to_dict() == expected.to_dict()
    high_risk = len(user_stats[user_stats["risk_level"] == "High"])
    assert summary.at["high_risk_users", "value_number"] == high_risk


def test_notebook_summary(df, summary):
    number, text = summary["value_number"], summary["value_text"]
    event_counts = df["event_type"].value_counts()
    sharing_compliance = pd.crosstab(df["data_shared"], df["status"], normalize="index") * 100

    assert number["total_events"] == len(df) == 5000
    assert number["unique_users"] == df["user_id"].nunique() == 2877
    assert text["first_event_date"] == str(df["timestamp"].min().date())
    assert text["last_event_date"] == str(df["timestamp"].max().date())
    assert set(text["regions_covered"].split(",")) == set(df["region"].unique())
    assert set(text["regulations_tracked"].split(",")) == set(df["regulation"].unique())
    assert number["median_user_age"] == df["user_age"].median()
    assert f"{number['average_session_duration_minutes']:.1f}" == (
        f"{df['session_duration_minutes'].mean():.1f}"
    )
    assert f"{number['average_concurrent_streams']:.1f}" == f"{df['concurrent_streams'].mean():.1f}"
    for status in ["compliant", "warning", "violation"]:
        assert number[f"{status}_events"] == (df["status"] == status).sum()
        assert number[f"{status}_rate"] * 100 == pytest.approx(
            (df["status"] == status).sum() / len(df) * 100, rel=0, abs=1e-9
        )
    assert text["highest_violation_data_sharing"] == sharing_compliance["violation"].idxmax()
    assert number["full_minus_none_sharing_rate"] * 100 == pytest.approx(
        sharing_compliance.loc["full", "violation"] - sharing_compliance.loc["none", "violation"],
        rel=0,
        abs=1e-9,
    )
    assert text["most_common_event_type"] == event_counts.idxmax()
    assert number["most_common_event_type_events"] == event_counts.max()


# --- The public interface ------------------------------------------------------------------------
# The relations and columns that others build on. More may be added, none may vanish.

WHOLE = {"INTEGER", "BIGINT"}  # not HUGEINT, which clients read as a float
NUMBER = {"DOUBLE"}
TEXT = {"VARCHAR"}
FLAG = {"BOOLEAN"}
DAY = {"DATE"}
MOMENT = {"TIMESTAMP"}

SHARED_SHAPE = {
    "events": WHOLE,
    "compliant_events": WHOLE,
    "warning_events": WHOLE,
    "violation_events": WHOLE,
    "users": WHOLE,
    "event_share": NUMBER,
    "compliant_rate": NUMBER,
    "warning_rate": NUMBER,
    "violation_rate": NUMBER,
}
HISTOGRAM = {"bin_number": WHOLE, "bin_start": NUMBER, "bin_end": NUMBER, "frequency": WHOLE}

PROMISED_COLUMNS = {
    "fct_compliance_events": {
        "event_id": WHOLE,
        "user_id": WHOLE,
        "region": TEXT,
        "regulation": TEXT,
        "event_type": TEXT,
        "status": TEXT,
        "data_shared": TEXT,
        "user_age": WHOLE,
        "concurrent_streams": WHOLE,
        "session_duration_minutes": NUMBER,
        "is_violation": FLAG,
        "event_hour": WHOLE,
        "event_date": DAY,
        "occurred_at": MOMENT,
    },
    "quarantined_compliance_events": {
        "event_id": TEXT,
        "timestamp": TEXT,
        "user_id": TEXT,
        "region": TEXT,
        "regulation": TEXT,
        "event_type": TEXT,
        "status": TEXT,
        "user_age": TEXT,
        "session_duration_minutes": TEXT,
        "concurrent_streams": TEXT,
        "data_shared": TEXT,
        "rejection_reasons": TEXT,
    },
    "dim_users": {
        "user_id": WHOLE,
        "user_age": WHOLE,
        "events": WHOLE,
        "violation_events": WHOLE,
        "warning_events": WHOLE,
        "violation_rate": NUMBER,
        "average_session_duration_minutes": NUMBER,
        "average_concurrent_streams": NUMBER,
        "first_event_at": MOMENT,
        "last_event_at": MOMENT,
        "risk_tier": TEXT,
    },
    "compliance_by_status": {
        "status": TEXT,
        "events": WHOLE,
        "users": WHOLE,
        "event_share": NUMBER,
    },
    "compliance_by_region": {"region": TEXT, **SHARED_SHAPE},
    "compliance_by_regulation": {"regulation": TEXT, **SHARED_SHAPE},
    "compliance_by_region_and_regulation": {"region": TEXT, "regulation": TEXT, **SHARED_SHAPE},
    "compliance_by_event_type": {"event_type": TEXT, **SHARED_SHAPE},
    "compliance_by_hour": {"event_hour": WHOLE, **SHARED_SHAPE},
    "compliance_by_date": {"event_date": DAY, "is_partial_day": FLAG, **SHARED_SHAPE},
    "compliance_by_concurrent_streams": {"concurrent_streams": WHOLE, **SHARED_SHAPE},
    "compliance_by_data_sharing": {"data_shared": TEXT, **SHARED_SHAPE},
    "compliance_by_user_risk_tier": {"risk_tier": TEXT, **SHARED_SHAPE},
    "session_duration_statistics": {
        "events": WHOLE,
        "mean_minutes": NUMBER,
        "stddev_minutes": NUMBER,
        "min_minutes": NUMBER,
        "p25_minutes": NUMBER,
        "median_minutes": NUMBER,
        "p75_minutes": NUMBER,
        "max_minutes": NUMBER,
    },
    "session_duration_histogram": HISTOGRAM,
    "user_age_histogram": HISTOGRAM,
    "user_violation_rate_histogram": HISTOGRAM,
    "compliance_summary": {
        "section": TEXT,
        "metric": TEXT,
        "display_order": WHOLE,
        "value_number": NUMBER,
        "value_text": TEXT,
        "unit": TEXT,
    },
}


@pytest.mark.parametrize("relation", PROMISED_COLUMNS)
def test_relation_has_the_promised_columns(built_project, relation):
    with built_project.connect() as connection:
        columns = connection.execute(
            """
            select column_name, data_type
            from information_schema.columns
            where table_schema = 'marts' and table_name = ?
            """,
            [relation],
        ).fetchall()
    types = dict(columns)
    promised = PROMISED_COLUMNS[relation]
    assert promised.keys() - types.keys() == set()
    wrong = {column: types[column] for column in promised if types[column] not in promised[column]}
    assert wrong == {}


@pytest.mark.parametrize("relation", PROMISED_COLUMNS)
def test_relation_is_documented_in_the_database(built_project, relation):
    with built_project.connect() as connection:
        tables = connection.execute(
            "select comment from duckdb_tables() where schema_name = 'marts' and table_name = $1"
            " union all"
            " select comment from duckdb_views() where schema_name = 'marts' and view_name = $1",
            [relation],
        ).fetchall()
        columns = connection.execute(
            """
            select column_name, comment
            from duckdb_columns()
            where schema_name = 'marts' and table_name = ?
            """,
            [relation],
        ).fetchall()
    assert len(tables) == 1
    assert (tables[0][0] or "").strip()
    assert dict(columns).keys() >= PROMISED_COLUMNS[relation].keys()
    assert [column for column, comment in columns if not (comment or "").strip()] == []
