"""The event generator: its promises hold, and its known effects can be found again."""

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from conftest import PROJECT
from oracle.intake import judge
from scipy import stats

from ott import cli
from ott.events import generator as generate
from ott.registry import variables

OTT = PROJECT / "scripts" / "ott"

SEED_SHA256 = "44babfc27ef19d127e339028ad292b3530a5e2b24161860e18fab0bf48ccefff"
AS_OF = datetime(2026, 1, 31)
COLUMNS = [
    "event_id",
    "timestamp",
    "user_id",
    "region",
    "regulation",
    "event_type",
    "status",
    "user_age",
    "session_duration_minutes",
    "concurrent_streams",
    "data_shared",
]


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(OTT), "generate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def written(path: Path, *arguments: object) -> Path:
    assert cli.main(["generate", "--output", str(path), *map(str, arguments)]) == 0
    return path


def read(path: Path) -> pd.DataFrame:
    # Python's own float() reads a number back exactly; not every version of pandas does.
    exactly = {"session_duration_minutes": float}
    return pd.read_csv(path, converters=exactly, parse_dates=["timestamp"])


def realistic(events: int, effects=generate.REALISTIC_EFFECTS, **changes) -> pd.DataFrame:
    options = {"seed": 42, "as_of": AS_OF, "users": 12_000, "days": 28} | changes
    chunks = generate.realistic_chunks(events, effects=effects, **options)
    return pa.concat_tables(chunks).to_pandas()


@pytest.fixture(scope="module")
def seed_csv(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("notebook") / "events.csv")


@pytest.fixture(scope="module")
def traffic() -> pd.DataFrame:
    """Three chunks of realistic events, with the number of each event's session."""
    events = realistic(300_000)
    return events.assign(session=(events["event_type"] == "login").cumsum())


# --- the notebook's events -----------------------------------------------------------------------


def test_default_output_is_the_committed_seed(seed_csv):
    content = seed_csv.read_bytes()
    assert hashlib.sha256(content).hexdigest() == SEED_SHA256
    assert content == (PROJECT / "seeds" / "raw_compliance_events.csv").read_bytes()


def test_notebook_values_are_those_of_the_notebook(seed_csv):
    # The notebook's own lines, with a fixed time for now().
    np.random.seed(42)
    n_events = 5000
    regions = ["US", "EU", "ASIA", "LATAM", "AFRICA"]
    regulations = ["GDPR", "CCPA", "PIPL", "LGPD", "PDPA"]
    event_types = [
        "login",
        "stream_start",
        "stream_pause",
        "stream_end",
        "download",
        "profile_update",
    ]
    statuses = ["compliant", "warning", "violation"]
    events = {
        "event_id": np.arange(n_events),
        "timestamp": [AS_OF - timedelta(hours=np.random.randint(0, 720)) for _ in range(n_events)],
        "user_id": np.random.randint(1000, 5000, n_events),
        "region": np.random.choice(regions, n_events, p=[0.35, 0.25, 0.20, 0.15, 0.05]),
        "regulation": np.random.choice(regulations, n_events),
        "event_type": np.random.choice(event_types, n_events),
        "status": np.random.choice(statuses, n_events, p=[0.80, 0.15, 0.05]),
        "user_age": np.random.randint(13, 75, n_events),
        "session_duration_minutes": np.random.exponential(scale=45, size=n_events),
        "concurrent_streams": np.random.randint(1, 6, n_events),
        "data_shared": np.random.choice(["none", "partial", "full"], n_events, p=[0.7, 0.2, 0.1]),
    }
    expected = pd.DataFrame(events)

    actual = read(seed_csv)
    assert list(actual.columns) == COLUMNS
    for column in COLUMNS:
        assert (actual[column] == expected[column]).all(), column


# With seed 638 one duration is so small that repr(), pandas and Arrow write an exponent.
@pytest.mark.parametrize(("scenario", "seed"), [("notebook", 638), ("realistic", 1)])
def test_csv_numbers_are_plain_decimals(tmp_path, scenario, seed):
    path = written(tmp_path / "events.csv", "--scenario", scenario, "--seed", seed)
    content = path.read_bytes()
    assert b"\r" not in content and b'"' not in content and content.endswith(b"\n")
    rows = list(csv.DictReader(content.decode().splitlines()))
    durations = [row["session_duration_minutes"] for row in rows]
    assert all(re.fullmatch(r"\d+\.\d+", text) for text in durations)
    assert all(re.fullmatch(r"\d{4}(-\d\d){2} \d\d(:\d\d){2}", row["timestamp"]) for row in rows)
    if scenario == "notebook":
        values = generate.notebook_events(5000, seed, AS_OF)["session_duration_minutes"].to_pylist()
        assert "e" in repr(min(values))
        assert [float(text) for text in durations] == values


def test_tiny_and_huge_numbers_are_written_without_exponent():
    table = generate.notebook_events(4, 1, AS_OF)
    values = [5e-324, 1e-05, 1e22, 45.0]
    position = COLUMNS.index("session_duration_minutes")
    text = generate.as_text(table.set_column(position, COLUMNS[position], pa.array(values)))
    decimals = text["session_duration_minutes"].to_pylist()
    assert [float(decimal) for decimal in decimals] == values
    assert decimals[1:] == ["0.00001", "10000000000000000000000.0", "45.0"]
    assert "e" not in decimals[0]


# --- every scenario ------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["notebook", "realistic", "null", "dirty"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_same_arguments_same_bytes_and_other_seed_other_bytes(tmp_path, scenario, suffix):
    contents = []
    for name, seed in (("first", 7), ("second", 7), ("other", 8)):
        path = tmp_path / f"{name}.{suffix}"
        written(path, "--scenario", scenario, "--seed", seed, "--events", 3000)
        truth = generate.truth_path(path)
        assert truth.exists() == (scenario != "notebook")
        contents.append((path.read_bytes(), truth.read_bytes() if truth.exists() else b""))
    assert contents[0] == contents[1]
    assert contents[0][0] != contents[2][0]


@pytest.mark.parametrize("scenario", ["notebook", "realistic", "null"])
def test_parquet_and_csv_hold_the_same_rows_in_plain_types(tmp_path, scenario):
    parquet = written(tmp_path / "events.parquet", "--scenario", scenario, "--events", 3000)
    table = written(tmp_path / "events.csv", "--scenario", scenario, "--events", 3000)
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), read(table), check_dtype=False)
    types = dict(
        duckdb.sql(f"select column_name, column_type from (describe from '{parquet}')").fetchall()
    )
    assert list(types) == COLUMNS
    assert types == {
        **dict.fromkeys(COLUMNS, "VARCHAR"),
        "event_id": "BIGINT",
        "timestamp": "TIMESTAMP",
        "user_id": "BIGINT",
        "user_age": "INTEGER",
        "session_duration_minutes": "DOUBLE",
        "concurrent_streams": "INTEGER",
    }


@pytest.mark.parametrize("scenario", ["notebook", "realistic", "null", "dirty"])
@pytest.mark.parametrize("events", [0, 1, 17])
def test_small_files_have_a_header_and_the_rows_asked_for(tmp_path, scenario, events):
    for name in ("events.csv", "events.parquet"):
        path = tmp_path / name
        options = ["--defect-rate", 1] if scenario == "dirty" else []
        written(path, "--scenario", scenario, "--events", events, *options)
        rows = duckdb.sql(f"select * from '{path}'")
        assert rows.columns == COLUMNS
        assert len(rows.fetchall()) == events


# --- realistic: users, sessions, traffic ---------------------------------------------------------


def test_realistic_rows_are_numbered_and_end_before_as_of(traffic):
    assert (traffic["event_id"] == np.arange(300_000)).all()
    assert traffic["timestamp"].min() >= pd.Timestamp(AS_OF) - pd.Timedelta(days=28)
    assert traffic["timestamp"].max() < pd.Timestamp(AS_OF)


@pytest.mark.parametrize("as_of", [AS_OF, datetime(2026, 1, 30, 10, 59, 30)])
def test_sessions_at_the_end_of_the_window_are_shortened(as_of):
    events = realistic(50_000, as_of=as_of, days=1, users=100)
    assert len(events) == 50_000
    assert events["timestamp"].max() < pd.Timestamp(as_of)
    assert events["timestamp"].min() >= pd.Timestamp(as_of) - pd.Timedelta(days=1)
    assert (events["session_duration_minutes"] >= 1).all()


def test_user_keeps_age_region_and_fitting_regulation(traffic):
    profile = traffic[["user_age", "region", "regulation"]]
    assert (profile.groupby(traffic["user_id"], observed=True).nunique() == 1).all(axis=None)
    pairs = set(traffic[["region", "regulation"]].drop_duplicates().itertuples(index=False))
    assert pairs == {
        ("US", "CCPA"),
        ("EU", "GDPR"),
        ("LATAM", "LGPD"),
        ("ASIA", "PIPL"),
        ("ASIA", "PDPA"),
        ("AFRICA", "GDPR"),
    }
    assert traffic["user_age"].between(13, 74).all()


def test_user_profile_is_a_function_of_seed_and_id_alone(traffic):
    ids = traffic["user_id"].drop_duplicates().to_numpy()
    attributes = generate.user_attributes(ids[::-1], seed=42)
    region = np.array(generate.REGIONS)[attributes["region"]][::-1]
    assert (region == traffic.drop_duplicates("user_id")["region"].to_numpy()).all()
    many = generate.user_attributes(np.arange(200_000), seed=1)
    shares = np.bincount(many["region"]) / 200_000
    assert shares == pytest.approx([0.35, 0.25, 0.20, 0.15, 0.05], abs=0.005)
    assert stats.kstest(many["normal"], "norm").pvalue > 1e-3
    assert abs(np.corrcoef(many["normal"], many["age"])[0, 1]) < 0.01
    other = generate.user_attributes(np.arange(200_000), seed=2)
    assert abs(np.corrcoef(many["normal"], other["normal"])[0, 1]) < 0.01


def test_sessions_follow_their_grammar(traffic):
    sessions = traffic.groupby("session")
    same = ["user_id", "session_duration_minutes", "concurrent_streams"]
    assert (sessions[same].nunique() == 1).all(axis=None)
    letters = {
        "login": "l",
        "profile_update": "u",
        "stream_start": "s",
        "stream_pause": "p",
        "stream_end": "e",
        "download": "d",
    }
    courses = traffic["event_type"].astype(str).map(letters).groupby(traffic["session"]).sum()
    # Only the last session may lack its end, so that the file has the rows asked for.
    assert courses.iloc[:-1].str.fullmatch("lu?sp*ed?").all()
    assert {"lse", "lused", "lspppe"} <= set(courses)

    gaps = sessions["timestamp"].diff().dropna()
    assert (gaps > pd.Timedelta(0)).all()
    starts = sessions["timestamp"].min()
    assert starts.is_monotonic_increasing
    span = (sessions["timestamp"].max() - starts).dt.total_seconds() / 60
    minutes = sessions["session_duration_minutes"].first()
    assert (abs(span - minutes).iloc[:-1] < 1 / 60).all()


def test_events_of_the_shortest_sessions_have_times_of_their_own(monkeypatch):
    monkeypatch.setattr(generate, "EXPONENTIAL_MINUTES", 0)
    events = realistic(50_000)
    assert (events["session_duration_minutes"] == 1).all()
    session = (events["event_type"] == "login").cumsum()
    assert (events["timestamp"].groupby(session).diff().dropna() > pd.Timedelta(0)).all()


def test_session_measures_have_the_documented_shapes(traffic):
    sessions = traffic.drop_duplicates("session")
    minutes = sessions["session_duration_minutes"]
    assert minutes.mean() == pytest.approx(45, abs=0.6)
    assert minutes.median() < minutes.mean() and minutes.min() > 0
    assert (minutes == minutes.round(2)).all()
    assert set(sessions["concurrent_streams"]) == {1, 2, 3, 4, 5}
    shares = traffic["data_shared"].value_counts(normalize=True)
    assert shares["none"] == pytest.approx(0.70, abs=0.005)
    assert shares["full"] == pytest.approx(0.10, abs=0.005)


def test_traffic_follows_hour_and_weekday(traffic):
    starts = traffic.drop_duplicates("session")["timestamp"].dt
    # Four whole weeks: the expected shares are those of the weights. The hour before as-of loses
    # two minutes, which is less than the tolerance.
    for observed, weights in (
        (starts.hour, generate.HOUR_WEIGHTS),
        (starts.day_of_week, generate.WEEKDAY_WEIGHTS),
    ):
        shares = observed.value_counts(normalize=True).sort_index()
        expected = weights / weights.sum()
        assert np.allclose(shares, expected, atol=4 * np.sqrt(expected / observed.size))
    assert starts.hour.mode()[0] == 20


def test_a_fifth_of_the_users_starts_most_sessions(traffic):
    per_user = traffic.drop_duplicates("session")["user_id"].value_counts()
    heaviest = per_user.nlargest(12_000 // 5).sum() / per_user.sum()
    # A little over the planted 60 %: the heaviest seen are partly so by chance.
    assert 0.60 <= heaviest < 0.68
    by_id = per_user.sort_index()
    planted = by_id[by_id.index < generate.FIRST_USER_ID + 12_000 // 5].sum() / per_user.sum()
    assert planted == pytest.approx(0.60, abs=0.01)


@pytest.mark.parametrize("users", [1, 2, 3, 7])
def test_every_one_of_few_users_appears(users):
    assert set(realistic(2000, users=users)["user_id"]) == set(range(1000, 1000 + users))


# --- realistic and null: the violation model -----------------------------------------------------


def test_planted_effects_are_found_by_logistic_regression():
    planted = generate.Effects(
        intercept=-3.0,
        region={"EU": -0.2, "ASIA": 0.3, "LATAM": 0.1, "AFRICA": 0.6},
        data_shared={"partial": 0.25, "full": 0.7},
        event_hour=(0.3,) * 6 + (0.0,) * 12 + (-0.4,) * 6,
    )
    events = realistic(400_000, effects=planted, seed=3)
    hour = events["timestamp"].dt.hour
    design = pd.DataFrame({"intercept": 1.0}, index=events.index)
    for member in planted.region:
        design[member] = events["region"] == member
    for member in planted.data_shared:
        design[member] = events["data_shared"] == member
    design["night"], design["evening"] = hour < 6, hour >= 18
    truth = {
        "intercept": planted.intercept,
        **planted.region,
        **planted.data_shared,
        "night": 0.3,
        "evening": -0.4,
    }
    violation = (events["status"] == "violation").astype(float)
    fit = sm.Logit(violation, design.astype(float)).fit(disp=False)
    z = (fit.params - pd.Series(truth)[fit.params.index]) / fit.bse
    assert (abs(z) < 4).all(), z
    # The effects are large enough for this sample: none of them would pass for zero.
    assert (abs(fit.params / fit.bse) > 2).all()

    others = events[events["status"] != "violation"]
    warnings = (others["status"] == "warning").mean()
    assert warnings == pytest.approx(0.15 / 0.95, abs=0.003)


def test_default_effects_give_about_five_percent(traffic):
    assert (traffic["status"] == "violation").mean() == pytest.approx(0.05, abs=0.003)


def test_null_has_five_percent_everywhere():
    events = realistic(400_000, effects=generate.NULL_EFFECTS, seed=5)
    violation = events["status"] == "violation"
    assert violation.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 400_000))
    hour = events["timestamp"].dt.hour
    for dimension in (events["region"], events["data_shared"], events["event_type"], hour):
        p_value = stats.chi2_contingency(pd.crosstab(dimension, violation)).pvalue
        assert p_value > 1e-3, dimension.name
    assert user_overdispersion(events) == pytest.approx(1, abs=0.06)


def test_user_effects_alone_cluster_violations_by_user(tmp_path):
    path = written(
        tmp_path / "null.parquet",
        *("--scenario", "null", "--user-effect-sd", "0.5", "--events", 300_000),
    )
    truth = json.loads(generate.truth_path(path).read_text())
    assert truth["effects"]["user_effect_sd"] == truth["arguments"]["user_effect_sd"] == 0.5
    assert set(truth["effects"]["event_hour"]) == {0}
    assert user_overdispersion(pd.read_parquet(path)) > 1.2


def user_overdispersion(events: pd.DataFrame) -> float:
    """Pearson chi-square over degrees of freedom of the violations per user; 1 if all are equal."""
    violation = events["status"] == "violation"
    users = violation.groupby(events["user_id"]).agg(["sum", "size"])
    expected = users["size"] * violation.mean()
    squares = (users["sum"] - expected) ** 2 / (expected * (1 - violation.mean()))
    return squares.sum() / (len(users) - 1)


def test_effects_that_would_be_ignored_are_refused():
    with pytest.raises(ValueError, match="Asia"):
        generate.Effects(intercept=0, region={"Asia": 1})
    with pytest.raises(ValueError, match="24 values, not 2"):
        generate.Effects(intercept=0, event_hour=(0.0, 1.0))
    with pytest.raises(ValueError, match="negative"):
        generate.Effects(intercept=0, user_effect_sd=-1)


def test_truth_tells_arguments_effects_and_formula(tmp_path):
    path = written(tmp_path / "events.csv", "--scenario", "realistic", "--events", 1000)
    truth = json.loads((tmp_path / "events.truth.json").read_text())
    assert truth["scenario"] == "realistic"
    assert truth["arguments"] == {
        "events": 1000,
        "seed": 42,
        "as_of": "2026-01-31 00:00:00",
        "users": 40,
        "days": 30,
        "user_effect_sd": 0.5,
    }
    effects = generate.REALISTIC_EFFECTS
    assert truth["effects"]["region"] == effects.region
    assert truth["effects"]["data_shared"] == effects.data_shared
    assert truth["effects"]["event_hour"] == list(effects.event_hour)
    assert truth["effects"]["intercept"] == effects.intercept
    assert "logit" in truth["formula"] or "exp" in truth["formula"]

    # A truth never stays beside data that it does not belong to.
    written(path)
    assert not (tmp_path / "events.truth.json").exists()


def realistic_run(path: Path, events: int) -> list[str]:
    return ["--scenario", "realistic", "--events", str(events), "--output", str(path)]


def peak_megabytes(path: Path, events: int) -> float:
    """Peak resident memory of a run that writes realistic events."""
    code = (
        "import resource, sys; from ott import cli; cli.main(['generate', *sys.argv[1:]]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *realistic_run(path, events)],
        env={**os.environ, "PYTHONPATH": str(OTT.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout.split()[-1])


def test_memory_does_not_grow_with_the_number_of_events(tmp_path):
    one_million = peak_megabytes(tmp_path / "one.parquet", 1_000_000)
    four_million = peak_megabytes(tmp_path / "four.parquet", 4_000_000)
    # Four million rows held at once would be over 300 MB more.
    assert four_million < one_million + 50


# --- dirty ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["csv", "parquet"])
def dirty(request, tmp_path_factory) -> tuple[pd.DataFrame, dict]:
    path = tmp_path_factory.mktemp("dirty") / f"events.{request.param}"
    written(path, "--scenario", "dirty")
    if request.param == "csv":
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    else:
        rows = pd.read_parquet(path).fillna("")
    return rows, json.loads(generate.truth_path(path).read_text())


def test_dirty_truth_adds_up_and_every_reason_occurs(dirty):
    rows, truth = dirty
    assert len(rows) == truth["rows"] == 5000
    assert truth["accepted"] + truth["quarantined"] + truth["exact_copies_dropped"] == 5000
    assert truth["untidy_rows_accepted"] >= 6
    # Equal shares of 250 touched rows, one more or less. A round has two rows for a conflict and
    # for a copy, and one for each other reason, for several defects and for blanks.
    share = -(-250 // (len(truth["rejections"]) + 5))
    counts = truth["rejections"].values()
    assert set(counts) <= {share - 1, share, 2 * share - 2, 2 * share - 1, 2 * share}


def test_dirty_rows_carry_the_defects_that_the_truth_counts(dirty):
    rows, truth = dirty
    intake = judge(rows.astype(object).where(rows != "", None), variables())
    assert len(intake.events) == truth["accepted"]
    assert len(intake.rejected) == truth["quarantined"]
    assert intake.copies == truth["exact_copies_dropped"]
    said = intake.rejected["rejection_reasons"].str.split(",").explode().value_counts()
    assert said.to_dict() == truth["rejections"]
    for column in ("region", "regulation", "event_type", "status", "data_shared"):
        assert rows[column].str.fullmatch(r"[ ].*\t").sum() == truth["untidy_rows_accepted"]


def test_dirty_touches_no_more_rows_than_asked_for(dirty):
    rows, truth = dirty
    seed = pd.read_csv(
        PROJECT / "seeds" / "raw_compliance_events.csv", dtype=str, keep_default_na=False
    )
    changed = (rows != seed).any(axis=1).sum()
    # 250 are touched; of a conflict and of an exact copy the first row stays as it was.
    conflicts = truth["rejections"]["event_id_conflicting"] // 2
    assert changed == 250 - conflicts - truth["exact_copies_dropped"]


@pytest.mark.parametrize(("rate", "accepted"), [(0, 5000), (1, None)])
def test_dirty_rate_of_nothing_and_of_everything(rate, accepted):
    table, truth = generate.dirty_events(5000, 42, AS_OF, rate)
    assert table.num_rows == 5000
    if rate == 0:
        assert table.equals(generate.as_text(generate.notebook_events(5000, 42, AS_OF)))
        assert truth["accepted"] == accepted
    else:
        assert truth["accepted"] == truth["untidy_rows_accepted"] + truth["exact_copies_dropped"]


# --- command line --------------------------------------------------------------------------------


def test_help_explains_scenarios_and_options():
    result = run("--help")
    assert result.returncode == 0 and result.stderr == ""
    for word in ("notebook", "realistic", "null", "dirty", "examples:", "(default: 5000)"):
        assert word in result.stdout
    for option in generate.OPTIONS_OF_SCENARIO.values():
        assert all(f"--{name.replace('_', '-')}" in result.stdout for name in option)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events", "-1"], "'--events': -1 is not in the range 0<=x"),
        (["--events", "many"], "'--events': 'many' is not a valid integer"),
        (["--seed", "4294967296"], "4294967296 is not in the range 0<=x<=4294967295"),
        (["--as-of", "31/01/2026"], "'31/01/2026' does not match the format '%Y-%m-%d"),
        (["--as-of", "1999-01-01 00:00:00"], "give a time after 2000-01-01"),
        (["--as-of", "2000-01-02 00:00:00"], "give a later --as-of"),
        (["--scenario", "wild"], "'wild' is not one of 'notebook', 'realistic'"),
        (["--scenario", "dirty", "--defect-rate", "1.1"], "1.1 is not in the range 0<=x<=1"),
        (["--scenario", "dirty", "--defect-rate", "nan"], "'nan' is no number"),
        (["--scenario", "null", "--user-effect-sd", "-1"], "-1.0 is not in the range 0<=x"),
        (["--scenario", "null", "--users", "0"], "0 is not in the range 1<=x"),
        (["--scenario", "realistic", "--days", "0"], "0 is not in the range 1<=x"),
        (["--scenario", "realistic", "--days", "10000"], "fewer --days"),
        (["--defect-rate", "0.1"], "does not apply to --scenario notebook: leave it out"),
        (["--scenario", "dirty", "--users", "5"], "does not apply to --scenario dirty"),
        (["--scenario", "null", "--defect-rate", "0"], "does not apply to --scenario null"),
        (["--format", "parquet"], "contradicts --output events.csv: end the output in .parquet"),
        (["--event", "5"], "No such option '--event'. (Did you mean one of: '--events'"),
    ],
)
def test_bad_arguments_give_one_line_and_leave_the_output(tmp_path, capsys, arguments, message):
    output = tmp_path / "events.csv"
    output.write_text("precious")
    assert cli.main(["generate", "--output", str(output), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert output.read_text() == "precious"
    assert os.listdir(tmp_path) == ["events.csv"]


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("missing/events.csv", 2, "does not exist: create it first"),
        ("events.xlsx", 2, "end it in .csv or .parquet, or add --format"),
        (".", 2, "is not a regular file"),
        ("/dev/null", 2, "is not a regular file"),
        ("/proc/events.csv", 1, "cannot write /proc/events.csv"),
    ],
)
def test_bad_outputs_give_one_line_and_write_nothing(tmp_path, output, code, message):
    result = run("--output", tmp_path / output)
    assert result.returncode == code
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_output_without_suffix_is_csv_and_format_settles_an_unknown_one(tmp_path):
    written(tmp_path / "events", "--events", 5)
    assert (tmp_path / "events").read_text().startswith("event_id,")
    written(tmp_path / "events.x", "--events", 5, "--format", "parquet")
    assert (tmp_path / "events.x").read_bytes().startswith(b"PAR1")


def test_failure_while_writing_leaves_the_old_files(tmp_path, monkeypatch, capsys):
    output = tmp_path / "events.csv"
    written(output, "--scenario", "realistic", "--events", 100)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate, "as_text", full_disk)
    assert cli.main(["generate", *realistic_run(output, 200)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("kill", "suffix"),
    [
        (signal.SIGKILL, "csv"),
        (signal.SIGKILL, "parquet"),
        (signal.SIGTERM, "parquet"),
        (signal.SIGINT, "csv"),
    ],
)
def test_killed_run_leaves_the_old_files(tmp_path, kill, suffix):
    output = tmp_path / f"events.{suffix}"
    written(output, "--scenario", "realistic", "--events", 100)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    process = subprocess.Popen(
        [sys.executable, OTT, "generate", *realistic_run(output, 50_000_000)],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 300
    # Wait until it is in the midst of writing.
    while not any(path.stat().st_size > 1_000_000 for path in tmp_path.glob(".*.tmp")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(kill)
    _, error = process.communicate(timeout=300)
    assert process.returncode == (-kill if kill == signal.SIGKILL else 130)
    assert "Traceback" not in error
    leftover = len(list(tmp_path.glob(".*.tmp")))
    assert leftover == (1 if kill == signal.SIGKILL else 0)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("events*")} == before


def test_reader_of_the_old_file_is_not_disturbed(tmp_path):
    output = written(tmp_path / "events.csv", "--events", 5000)
    before = output.read_text()
    with output.open() as reader:
        written(output, "--events", 10)
        assert reader.read() == before


def test_output_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    written(link, "--events", 3)
    assert link.is_symlink() and target.read_text().startswith("event_id,")
