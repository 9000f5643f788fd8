"""The event generator: its promises hold, and its known effects can be found again."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from unittest.mock import Mock

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
from ott.registry import COLUMNS, KNOWN_MEMBERS, OPTIONAL, variables

OTT = PROJECT / "scripts" / "ott"
SEED = PROJECT / "seeds" / "raw_compliance_events.csv"
SEED_SHA256 = "44babfc27ef19d127e339028ad292b3530a5e2b24161860e18fab0bf48ccefff"
AS_OF = datetime(2026, 1, 31)
SCENARIOS = ["notebook", "realistic", "null", "dirty"]
NO_TIME = pd.Timedelta(0)


def written(path: Path, *arguments: object) -> Path:
    assert cli.main(["generate", "--output", str(path), *map(str, arguments)]) == 0
    return path


def contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(pattern)}


def read(path: Path) -> pd.DataFrame:
    # Python's own float() reads a number back exactly; not every version of pandas does.
    exactly = {"session_duration_minutes": float}
    return pd.read_csv(path, converters=exactly, parse_dates=["timestamp"])


def realistic(events: int, effects=generate.REALISTIC_EFFECTS, **changes) -> pd.DataFrame:
    """Realistic events, with the number of each event's session."""
    options = {"seed": 42, "as_of": AS_OF, "users": 12_000, "days": 28} | changes
    chunks = generate.realistic_chunks(events, effects=effects, **options)
    table = pa.concat_tables(chunks).to_pandas()
    return table.assign(session=(table["event_type"] == "login").cumsum())


@pytest.fixture(scope="module")
def traffic() -> pd.DataFrame:
    """Three chunks of realistic events."""
    return realistic(300_000)


def test_default_output_is_the_seed_and_the_values_of_the_notebook(tmp_path):
    content = written(tmp_path / "events.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SEED_SHA256
    assert content == SEED.read_bytes()
    # The notebook's own lines, with a fixed time for now().
    np.random.seed(42)
    n = 5000
    regions = ["US", "EU", "ASIA", "LATAM", "AFRICA"]
    regulations = ["GDPR", "CCPA", "PIPL", "LGPD", "PDPA"]
    event_types = ["login", "stream_start", "stream_pause", "stream_end"]
    event_types += ["download", "profile_update"]
    statuses = ["compliant", "warning", "violation"]
    expected = {
        "event_id": np.arange(n),
        "timestamp": [AS_OF - timedelta(hours=np.random.randint(0, 720)) for _ in range(n)],
        "user_id": np.random.randint(1000, 5000, n),
        "region": np.random.choice(regions, n, p=[0.35, 0.25, 0.20, 0.15, 0.05]),
        "regulation": np.random.choice(regulations, n),
        "event_type": np.random.choice(event_types, n),
        "status": np.random.choice(statuses, n, p=[0.80, 0.15, 0.05]),
        "user_age": np.random.randint(13, 75, n),
        "session_duration_minutes": np.random.exponential(scale=45, size=n),
        "concurrent_streams": np.random.randint(1, 6, n),
        "data_shared": np.random.choice(["none", "partial", "full"], n, p=[0.7, 0.2, 0.1]),
    }
    pd.testing.assert_frame_equal(
        read(SEED), pd.DataFrame(expected), check_dtype=False, check_exact=True
    )


def test_tiny_and_huge_numbers_are_written_without_exponent():
    name, values = "session_duration_minutes", [5e-324, 1e-05, 1e22, 45.0]
    table = generate.notebook_events(4, 1, AS_OF)
    table = table.set_column(COLUMNS.index(name), name, pa.array(values))
    decimals = generate.as_text(table)[name].to_pylist()
    assert [float(decimal) for decimal in decimals] == values
    assert decimals[1:] == ["0.00001", "10000000000000000000000.0", "45.0"]
    assert "e" not in decimals[0]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_arguments_same_bytes_and_other_seed_other_bytes(tmp_path, scenario):
    """Parquet and CSV hold the same rows, in plain types but for dirty ones, which are text."""
    found = []
    for name, seed in (("other", 8), ("second", 7), ("first", 7)):
        folder = tmp_path / name
        folder.mkdir()
        options = ("--scenario", scenario, "--seed", seed, "--events", 3000)
        table, parquet = (written(folder / f"events.{end}", *options) for end in ("csv", "parquet"))
        assert generate.truth_path(table).exists() == (scenario != "notebook")
        found.append(contents(folder))
    assert found[2] == found[1]
    assert all(found[0][file.name] != found[1][file.name] for file in (table, parquet))
    if scenario == "dirty":
        return
    pd.testing.assert_frame_equal(
        pd.read_parquet(parquet), read(table), check_dtype=False, check_exact=True
    )
    described = duckdb.sql(f"describe from '{parquet}'").fetchall()
    assert {name: kind for name, kind, *_ in described} == {
        **dict.fromkeys(KNOWN_MEMBERS, "VARCHAR"),
        **dict.fromkeys(("event_id", "user_id"), "BIGINT"),
        **dict.fromkeys(("user_age", "concurrent_streams"), "INTEGER"),
        **{"timestamp": "TIMESTAMP", "session_duration_minutes": "DOUBLE"},
    }


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("events", [0, 1, 31])
@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_small_files_have_a_header_and_the_rows_asked_for(tmp_path, scenario, events, name):
    options = ["--defect-rate", 1] if scenario == "dirty" else []
    path = written(tmp_path / name, "--scenario", scenario, "--events", events, *options)
    rows = duckdb.sql(f"from '{path}'")
    assert (rows.columns, len(rows.fetchall())) == ([*COLUMNS], events)


@pytest.mark.parametrize("as_of", [AS_OF, datetime(2026, 1, 30, 10, 59, 30)])
def test_sessions_are_within_the_window_and_the_shortest_have_times_of_their_own(
    monkeypatch, as_of
):
    for exponential_minutes in (22, 0):
        monkeypatch.setattr(generate, "EXPONENTIAL_MINUTES", exponential_minutes)
        events = realistic(50_000, as_of=as_of, days=1, users=100)
        assert len(events) == 50_000
        assert events["timestamp"].max() < pd.Timestamp(as_of)
        assert events["timestamp"].min() >= pd.Timestamp(as_of) - pd.Timedelta(days=1)
        assert (events["session_duration_minutes"] >= 1).all()
        gaps = events["timestamp"].groupby(events["session"]).diff().dropna()
        assert (gaps > NO_TIME).all()
    assert (events["session_duration_minutes"] == 1).all()


def test_users_keep_their_profiles_and_each_of_few_appears(traffic):
    for users in (1, 2, 3, 7):
        assert {*realistic(2000, users=users)["user_id"]} == {*range(1000, 1000 + users)}
    profile = traffic[["user_age", "region", "regulation"]]
    assert (profile.groupby(traffic["user_id"], observed=True).nunique() == 1).all(axis=None)
    laws = traffic["region"].astype(str) + " " + traffic["regulation"].astype(str)
    fitting = ["AFRICA GDPR", "ASIA PDPA", "ASIA PIPL", "EU GDPR", "LATAM LGPD", "US CCPA"]
    assert sorted(laws.unique()) == fitting
    assert traffic["user_age"].between(13, 74).all()

    # They are functions of seed and id alone.
    users = traffic.drop_duplicates("user_id")
    attributes = generate.user_attributes(users["user_id"].to_numpy()[::-1], seed=42)
    region = np.array(generate.REGIONS)[attributes["region"]][::-1]
    assert (region == users["region"].to_numpy()).all()
    many, other = (generate.user_attributes(np.arange(200_000), seed) for seed in (1, 2))
    shares = np.bincount(many["region"]) / 200_000
    assert shares == pytest.approx([0.35, 0.25, 0.20, 0.15, 0.05], abs=0.005)
    assert stats.kstest(many["normal"], "norm").pvalue > 1e-3
    for unrelated in (many["age"], other["normal"]):
        assert abs(np.corrcoef(many["normal"], unrelated)[0, 1]) < 0.01


def test_sessions_follow_their_grammar(traffic):
    assert (traffic["event_id"] == np.arange(300_000)).all()
    by_session = traffic.groupby("session")
    same = ["user_id", "session_duration_minutes", "concurrent_streams"]
    assert (by_session[same].nunique() == 1).all(axis=None)
    letters = {"profile_update": "u", "stream_start": "s", "stream_pause": "p", "stream_end": "e"}
    kinds = traffic["event_type"].astype(str).replace({**letters, "login": "l", "download": "d"})
    courses = kinds.groupby(traffic["session"]).sum()
    # Only the last session may lack its end, so that the file has the rows asked for.
    assert courses.iloc[:-1].str.fullmatch("lu?sp*ed?").all()
    assert {"lse", "lused", "lspppe"} <= set(courses)

    times = by_session["timestamp"]
    assert (times.diff().dropna() > NO_TIME).all()
    assert times.min().is_monotonic_increasing
    span = (times.max() - times.min()).dt.total_seconds() / 60
    minutes = by_session["session_duration_minutes"].first()
    assert (abs(span - minutes).iloc[:-1] < 1 / 60).all()


def test_sessions_have_the_documented_shapes(traffic):
    sessions = traffic.drop_duplicates("session")
    minutes = sessions["session_duration_minutes"]
    assert minutes.mean() == pytest.approx(45, abs=0.6)
    assert minutes.median() < minutes.mean() and minutes.min() > 0
    assert (minutes == minutes.round(2)).all()
    assert set(sessions["concurrent_streams"]) == {1, 2, 3, 4, 5}
    shares = traffic["data_shared"].value_counts(normalize=True)
    assert [shares["none"], shares["full"]] == pytest.approx([0.70, 0.10], abs=0.005)
    assert (traffic["status"] == "violation").mean() == pytest.approx(0.05, abs=0.003)

    # Four whole weeks: the expected shares are those of the weights. The hour before as-of loses
    # two minutes, which is less than the tolerance.
    hour, weekday = sessions["timestamp"].dt.hour, sessions["timestamp"].dt.day_of_week
    for starts, weights in ((hour, generate.HOUR_WEIGHTS), (weekday, generate.WEEKDAY_WEIGHTS)):
        expected = weights / weights.sum()
        tolerance = 4 * np.sqrt(expected / starts.size)
        assert (abs(starts.value_counts(normalize=True).sort_index() - expected) < tolerance).all()
    assert hour.mode()[0] == 20

    # A fifth of the users starts 60 % of the sessions. The heaviest seen are partly so by chance.
    users = sessions["user_id"].value_counts(normalize=True)
    assert 0.60 <= users.nlargest(2400).sum() < 0.68
    assert users[users.index < 1000 + 2400].sum() == pytest.approx(0.60, abs=0.01)


def test_planted_effects_are_found_by_logistic_regression():
    planted = generate.Effects(
        intercept=-3.0,
        region={"EU": -0.2, "ASIA": 0.3, "LATAM": 0.1, "AFRICA": 0.6},
        data_shared={"partial": 0.25, "full": 0.7},
        event_hour=(0.3,) * 6 + (0.0,) * 12 + (-0.4,) * 6,
    )
    events = realistic(400_000, effects=planted, seed=3)
    hour, violation = events["timestamp"].dt.hour, events["status"] == "violation"
    truth = {"intercept": -3.0, **planted.region, **planted.data_shared}
    design = pd.DataFrame({"intercept": 1.0}, index=events.index)
    for member in [*truth][1:]:
        design[member] = (events[["region", "data_shared"]] == member).any(axis=1)
    design["night"], design["evening"] = hour < 6, hour >= 18
    fit = sm.Logit(violation.astype(float), design.astype(float)).fit(disp=False)
    z = (fit.params - pd.Series({**truth, "night": 0.3, "evening": -0.4})) / fit.bse
    assert (abs(z) < 4).all(), z
    # The effects are large enough for this sample: none of them would pass for zero.
    assert (abs(fit.params / fit.bse) > 2).all()
    warnings = (events["status"][~violation] == "warning").mean()
    assert warnings == pytest.approx(0.15 / 0.95, abs=0.003)


def user_overdispersion(events: pd.DataFrame) -> float:
    """Pearson chi-square over degrees of freedom of the violations per user; 1 if all are equal."""
    violation = events["status"] == "violation"
    users = violation.groupby(events["user_id"]).agg(["sum", "size"])
    expected = users["size"] * violation.mean()
    squares = (users["sum"] - expected) ** 2 / (expected * (1 - violation.mean()))
    return squares.sum() / (len(users) - 1)


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
    options = ("--scenario", "null", "--user-effect-sd", "0.5", "--events", 300_000)
    path = written(tmp_path / "null.parquet", *options)
    truth = json.loads(generate.truth_path(path).read_text())
    assert truth["effects"]["user_effect_sd"] == truth["arguments"]["user_effect_sd"] == 0.5
    assert set(truth["effects"]["event_hour"]) == {0}
    assert user_overdispersion(pd.read_parquet(path)) > 1.2


def test_effects_that_would_be_ignored_are_refused():
    for message, effect in (
        ("Asia", {"region": {"Asia": 1}}),
        ("all", {"data_shared": {"all": 1}}),
        ("24 values, not 2", {"event_hour": (0.0, 1.0)}),
        ("negative", {"user_effect_sd": -1}),
    ):
        with pytest.raises(ValueError, match=message):
            generate.Effects(intercept=0, **effect)


def test_truth_tells_arguments_effects_and_formula(tmp_path):
    path = written(tmp_path / "events.csv", "--scenario", "realistic", "--events", 1000)
    truth = json.loads((tmp_path / "events.truth.json").read_text())
    assert truth["scenario"] == "realistic"
    asked = {"events": 1000, "seed": 42, "as_of": "2026-01-31 00:00:00"}
    assert truth["arguments"] == {**asked, "users": 40, "days": 30, "user_effect_sd": 0.5}
    effects = generate.REALISTIC_EFFECTS
    assert truth["effects"] == {**vars(effects), "event_hour": list(effects.event_hour)}
    assert "exp" in truth["formula"]
    # A truth never stays beside data that it does not belong to.
    written(path)
    assert not (tmp_path / "events.truth.json").exists()


def test_memory_does_not_grow_with_the_number_of_events(tmp_path):
    code = (
        "import resource, sys; from ott import cli; cli.main(['generate', *sys.argv[1:]]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    peaks = []
    for events in (1_000_000, 4_000_000):
        options = ["--scenario", "realistic", "--events", str(events)]
        result = subprocess.run(
            [sys.executable, "-c", code, *options, "--output", tmp_path / "events.parquet"],
            env={**os.environ, "PYTHONPATH": str(OTT.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(float(result.stdout.split()[-1]))
    # Four million rows held at once would be over 300 MB more.
    assert peaks[1] < peaks[0] + 50


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dirty_rows_carry_the_defects_that_the_truth_counts(tmp_path, suffix):
    path = written(tmp_path / f"events.{suffix}", "--scenario", "dirty")
    as_text = {"dtype": str, "keep_default_na": False}
    rows = pd.read_csv(path, **as_text) if suffix == "csv" else pd.read_parquet(path).fillna("")
    truth = json.loads(generate.truth_path(path).read_text())
    assert len(rows) == truth["rows"] == 5000
    intake = judge(rows.astype(object).where(rows != "", None), variables())
    assert len(intake.events) == truth["accepted"]
    assert len(intake.rejected) == truth["quarantined"]
    assert intake.copies == truth["exact_copies_dropped"]
    said = intake.rejected["rejection_reasons"].str.split(",").explode().value_counts()
    assert said.to_dict() == truth["rejections"]
    assert truth["untidy_rows_accepted"] >= 6
    for column in KNOWN_MEMBERS:
        assert rows[column].str.fullmatch(r"[ ].*\t").sum() == truth["untidy_rows_accepted"]
    # Equal shares of 250 touched rows, one more or less. A round has two rows for a conflict and
    # for a copy, and one for each other reason, for several defects, for blanks and for each column
    # that may be missing.
    share = -(-250 // (len(truth["rejections"]) + 5 + len(OPTIONAL)))
    counts = {*truth["rejections"].values()}
    assert counts <= {share - 1, share, 2 * share - 2, 2 * share - 1, 2 * share}
    # Of a conflict and of an exact copy the first row stays as it was.
    changed = (rows != pd.read_csv(SEED, **as_text)).any(axis=1).sum()
    conflicts = truth["rejections"]["event_id_conflicting"] // 2
    assert changed == 250 - conflicts - truth["exact_copies_dropped"]


def test_dirty_rate_of_nothing_and_of_everything():
    table, truth = generate.dirty_events(5000, 42, AS_OF, 0)
    assert table.equals(generate.as_text(generate.notebook_events(5000, 42, AS_OF)))
    assert truth["accepted"] == 5000
    table, truth = generate.dirty_events(5000, 42, AS_OF, 1)
    assert table.num_rows == 5000
    of_rows = ("untidy_rows_accepted", "incomplete_rows_accepted", "exact_copies_dropped")
    assert truth["accepted"] == sum(truth[kind] for kind in of_rows)


def test_help_explains_scenarios_and_options(capsys):
    assert cli.main(["generate", "--help"]) == 0
    told = capsys.readouterr()
    options = {name for names in generate.OPTIONS_OF_SCENARIO.values() for name in names}
    words = {f"--{name.replace('_', '-')}" for name in options}
    missing = {*words, *SCENARIOS, "examples:", "(default: 5000)"}
    assert (told.err, {word for word in missing if word not in told.out}) == ("", set())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--events -1", "'--events': -1 is not in the range 0<=x"),
        ("--seed 4294967296", "4294967296 is not in the range 0<=x<=4294967295"),
        ("--as-of 31/01/2026", "'31/01/2026' does not match the format '%Y-%m-%d"),
        ("--as-of 1999-01-01_00:00:00", "give a time after 2000-01-01"),
        ("--as-of 9999-01-01_00:00:00", "give a time after 2000-01-01"),
        ("--as-of 2000-01-02_00:00:00", "give a later --as-of"),
        ("--scenario wild", "'wild' is not one of 'notebook', 'realistic'"),
        ("--scenario dirty --defect-rate 1.1", "1.1 is not in the range 0<=x<=1"),
        ("--scenario dirty --defect-rate nan", "'nan' is no number"),
        ("--scenario null --user-effect-sd -1", "-1.0 is not in the range 0<=x"),
        ("--scenario null --users 0", "0 is not in the range 1<=x"),
        ("--scenario realistic --days 0", "0 is not in the range 1<=x"),
        ("--scenario realistic --days 10000", "fewer --days"),
        ("--defect-rate 0.1", "does not apply to --scenario notebook: leave it out"),
        ("--scenario dirty --users 5", "does not apply to --scenario dirty"),
        ("--scenario null --defect-rate 0", "does not apply to --scenario null"),
        ("--format parquet", "contradicts --output events.csv: end the output in .parquet"),
        ("--output missing/events.csv", "does not exist: create it first"),
        ("--output events.xlsx", "end it in .csv or .parquet, or add --format"),
        ("--output .", "is not a regular file"),
        ("--output /dev/null", "is not a regular file"),
    ],
)
def test_bad_arguments_give_one_line_and_write_nothing(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    Path("events.csv").write_text("precious")
    words = [word.replace("_", " ") for word in arguments.split()]
    assert cli.main(["generate", "--output", "events.csv", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert contents(tmp_path) == {"events.csv": b"precious"}


def test_failure_while_writing_leaves_the_old_files(tmp_path, monkeypatch, capsys):
    assert cli.main(["generate", "--output", "/proc/events.csv"]) == 1
    assert re.fullmatch("cannot write /proc/events.csv.*\n", capsys.readouterr().err)
    options = ["--scenario", "realistic", "--events", "200"]
    output = written(tmp_path / "events.csv", *options)
    before = contents(tmp_path)
    full_disk = OSError(28, "No space left on device")
    monkeypatch.setattr(generate, "as_text", Mock(side_effect=full_disk))
    assert cli.main(["generate", *options, "--seed", "1", "--output", str(output)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("kill", "suffix"), [(SIGKILL, "parquet"), (SIGTERM, "parquet"), (SIGINT, "csv")]
)
def test_killed_run_leaves_the_old_files(tmp_path, kill, suffix):
    output = tmp_path / f"events.{suffix}"
    command = ["generate", "--scenario", "realistic", "--output", str(output), "--events"]
    assert cli.main([*command, "100"]) == 0
    before = contents(tmp_path)
    process = subprocess.Popen(
        [sys.executable, OTT, *command, "50000000"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    # Wait until it is in the midst of writing.
    while not any(path.stat().st_size > 1_000_000 for path in tmp_path.glob(".*.tmp")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(kill)
    _, error = process.communicate(timeout=300)
    unfinished = len(list(tmp_path.glob(".*.tmp")))
    assert (process.returncode, unfinished) == ((-kill, 1) if kill == SIGKILL else (130, 0))
    assert "Traceback" not in error
    assert contents(tmp_path, "events*") == before


def test_output_may_be_a_link_or_be_read_and_needs_no_known_suffix(tmp_path):
    output, link = written(tmp_path / "events", "--events", 5000), tmp_path / "link.csv"
    before = output.read_text()
    assert before.startswith("event_id,")
    link.symlink_to(output)
    with output.open() as reader:
        written(link, "--events", 10)
        assert reader.read() == before
    assert link.is_symlink() and output.read_text().count("\n") == 11
    path = written(tmp_path / "events.x", "--events", 5, "--format", "parquet")
    assert path.read_bytes().startswith(b"PAR1")
