"""The calibration: it runs the project's own models, and its shares are what they say."""

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from statsmodels.stats.proportion import proportion_confint

from ott import OttError, cli
from ott.events import generator
from ott.lab import calibrate

TARGETS = (*calibrate.FINDINGS, "key_findings", "compliance_by_date")


def data_set(seed: int, scenario: str = "null-users-differ", events: int = 3000):
    effects = calibrate.SCENARIOS[scenario].effects
    return calibrate.DataSet(scenario, seed, events, effects)


@pytest.fixture(scope="module")
def built(new_project, tmp_path_factory) -> tuple:
    """The compiled project, and the database in which dbt built it from a data set."""
    project = new_project("calibrate")
    events = data_set(seed=7).build()
    generator.write_events([events], generator.TEXT_SCHEMA, project.events_file, "csv")
    folder, other = (tmp_path_factory.mktemp("calibrate") for _ in range(2))
    database = other / "calibration.duckdb"
    selected = [f"+{name}" for name in TARGETS]
    build = ("build", "--exclude-resource-type", "test", "unit_test", "--select", *selected)
    with ThreadPoolExecutor() as pool:
        building = pool.submit(calibrate._dbt, project.root, other, database, *build)
        compiled = calibrate.compile_project(folder, project.root, TARGETS)
        building.result()
    return compiled, database


@pytest.fixture(scope="module")
def compiled(built):
    return built[0]


@pytest.fixture(scope="module")
def bench(compiled):
    """A bench that has already served another data set."""
    bench = calibrate.Bench(compiled)
    bench.load(data_set(seed=8, scenario="notebook", events=1000).build())
    return bench


# Fingerprints of days hang on how the raw events are typed, which the figures do not.
FIGURES = "select columns(name -> name <> 'fingerprint')"


def rounded(rows: list[tuple]) -> list[tuple]:
    """Rows with floats to 12 digits: the order of a sum changes the last one."""
    return [
        tuple(float(f"{value:.12g}") if isinstance(value, float) else value for value in row)
        for row in rows
    ]


def contents(bench) -> dict[str, list[tuple]]:
    names = [name for name, model in bench.models.items() if not model.is_view]
    return {name: rounded(bench.rows(f"{FIGURES} from {{{name}}} order by all")) for name in names}


def test_tables_are_those_of_a_dbt_build_of_the_same_events(built, bench):
    bench.load(data_set(seed=7).build())
    tables = contents(bench)
    assert {"int_design_effects", "dim_users", "violation_tests", "key_findings"} <= {*tables}
    assert all(tables[name] for name in TARGETS)
    with duckdb.connect(built[1], read_only=True) as connection:
        for name, rows in tables.items():
            relation = bench.models[name].relation
            expected = connection.sql(f"{FIGURES} from {relation} order by all").fetchall()
            assert rows == rounded(expected), name


def test_data_sets_leave_no_trace(compiled, bench):
    events = data_set(seed=9).build()
    bench.load(events)
    tables = contents(bench)
    bench.override("int_design_effects", calibrate.VARIANTS["no design effect"])
    assert contents(bench) != tables
    bench.load(events)
    assert contents(bench) == tables
    fresh = calibrate.Bench(compiled)
    fresh.load(events)
    assert contents(fresh) == tables


def test_no_design_effect_leaves_the_textbook_tests(bench):
    bench.load(data_set(seed=7).build())
    bench.override("int_design_effects", calibrate.VARIANTS["no design effect"])
    rows = bench.rows(
        "select design_effect, p_value, p_adjusted from {violation_associations} order by p_value"
    )
    holm = np.minimum(1, np.maximum.accumulate([row[1] * (8 - i) for i, row in enumerate(rows)]))
    assert {row[0] for row in rows} == {1.0}
    assert [row[2] for row in rows] == pytest.approx(holm)


def test_one_design_effect_is_that_of_the_overall_rate(bench):
    events = data_set(seed=7).build().to_pandas()
    bench.load(data_set(seed=7).build())
    bench.override("int_design_effects", calibrate.VARIANTS["one design effect for all"])
    effects = bench.rows("select distinct design_effect from {violation_associations}")
    violations = events["status"] == "violation"
    rate = violations.mean()
    residuals = (violations - rate).groupby(events["user_id"]).sum()
    variance = residuals.size / (residuals.size - 1) * (residuals**2).sum()
    assert [value for (value,) in effects] == [
        pytest.approx(variance / (len(events) * rate * (1 - rate)))
    ]
    assert effects[0][0] > 1.2


SCENARIOS = (
    *("null-users-differ", "notebook", "planted-hour", "realistic"),
    *("null-days-move", "planted-trend"),
)


def calibrated(compiled, workers: int) -> dict:
    """Calibrate with little work: one data set a scenario, of few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "compile_project", lambda folder: compiled)
        patch.setattr(calibrate, "BASELINE_RUNS", 1)
        return calibrate.calibrate(SCENARIOS, runs=1, events=500, seed=3, workers=workers)


@pytest.fixture(scope="module")
def result(compiled) -> dict:
    return calibrated(compiled, workers=1)


def test_result_does_not_hang_on_the_number_of_workers(compiled, result):
    assert calibrated(compiled, workers=2) == result


def test_result_has_its_parts(result):
    assert json.loads(json.dumps(result)) == result
    assert {share["scenario"] for share in result["shares"]} == {*SCENARIOS}
    for share in result["shares"]:
        assert 0 <= share["low"] <= share["share"] <= share["high"] <= 1
        assert share["share"] == share["hits"] / share["cases"]
        assert bool(share["requirement"]) == (share["is_met"] in ("yes", "open", "no"))
    assert (
        len([share for share in result["shares"] if share["requirement"]]) == 1 + 3 + 1 + 1 + 2 + 1
    )
    for name in ("planted-hour", "planted-trend"):
        assert 0 < result["planted_differences"][name] < 0.5
    for rows in result["dimensions"].values():
        assert len(rows) == 9
        assert all(0 <= row["differs"] <= row["judged"] <= row["runs"] == 1 for row in rows)


def test_report_goes_to_stdout_and_the_result_to_a_file(result, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(calibrate, "calibrate", lambda *arguments: result)
    assert cli.main(["calibrate", "--output", str(tmp_path / "shares.json")]) == 0
    assert json.loads((tmp_path / "shares.json").read_text()) == result
    report = capsys.readouterr().out
    assert "| notebook | runs with any user confirmed | " in report
    assert "| planted-trend | runs that find trend (+" in report
    tables = [line for line in report.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {8, 6}


def test_seeds_hang_on_run_and_purpose_alone():
    seeds = {
        calibrate.seed_of(seed, purpose, run)
        for seed in (1, 2)
        for purpose in ("null", "notebook")
        for run in range(50)
    }
    assert len(seeds) == 200
    assert calibrate.seed_of(1, "null", 0) == calibrate.seed_of(1, "null", 0)


def test_interval_is_that_of_wilson():
    share = calibrate.share_of("null", "x", [(True, 1)] * 7 + [(False, 1)] * 93, most=0.06)
    low, high = proportion_confint(7, 100, method="wilson")
    assert (share.low, share.high) == pytest.approx((low, high))
    assert (share.requirement, share.is_met) == ("at most 6%", "open")
    assert calibrate.share_of("null", "x", [(0, 0)]) is None


def test_cases_that_go_together_count_once():
    together = calibrate.share_of("null", "x", [(10, 10)] * 50 + [(0, 10)] * 50)
    once = calibrate.share_of("null", "x", [(1, 1)] * 50 + [(0, 1)] * 50)
    assert (together.low, together.high) == pytest.approx((once.low, once.high))


@pytest.mark.parametrize(
    ("hits", "least", "most", "is_met"),
    [
        (50, None, 0.06, "yes"),
        (65, None, 0.06, "open"),
        (90, None, 0.06, "no"),
        (50, 0.06, None, "open"),
        (30, 0.06, None, "no"),
        (50, 0.04, 0.06, "yes"),
        (90, None, None, ""),
    ],
)
def test_requirement_is_met_or_not(hits, least, most, is_met):
    counts = [(i < hits, 1) for i in range(1000)]
    assert calibrate.share_of("null", "x", counts, least, most).is_met == is_met


@pytest.mark.parametrize(
    "name", [n for n, s in calibrate.SCENARIOS.items() if s.planted not in (None, calibrate.TREND)]
)
def test_planted_difference_is_there(name):
    scenario = calibrate.SCENARIOS[name]
    null = calibrate.with_null_rate(scenario.effects)
    effects = calibrate.plant(null, *scenario.planted, 0.1)
    events = calibrate.DataSet(name, 1, 200_000, effects).build().to_pandas()
    events["event_hour"] = events["timestamp"].str[11:13].astype(int).astype(str)
    is_member = events[scenario.planted[0]] == scenario.planted[1]
    rates = (events["status"] == "violation").groupby(is_member).mean()
    assert rates[False] == pytest.approx(0.05, abs=0.004)
    assert rates[True] - rates[False] == pytest.approx(0.1, abs=0.015)


def rates_by_day(data_set) -> pd.Series:
    """Violation rates of the whole days by their number."""
    events = data_set.build().to_pandas()
    assert len(events) == data_set.events
    days = (pd.to_datetime(events["timestamp"]) - pd.Timestamp(calibrate.AS_OF)).dt.days
    return (events["status"] == "violation").groupby(days.to_numpy() + calibrate.DAYS).mean()[1:30]


def test_planted_trend_is_there():
    change = 0.01
    rates = rates_by_day(calibrate.DataSet("planted-trend", 1, 1_000_000, None, change))
    slope, middle = np.polyfit((rates.index - 15) / 7, rates, 1)
    assert slope == pytest.approx(change, abs=0.0005)
    assert middle == pytest.approx(0.05, abs=0.001)


def log_odds_by_day(scenario: str, seed: int) -> np.ndarray:
    rates = rates_by_day(calibrate.DataSet(scenario, seed, 300_000, None))
    return np.log(rates / (1 - rates)).to_numpy() - math.log(0.05 / 0.95)


def test_days_move_as_far_as_is_said():
    moves = np.array([log_odds_by_day("null-days-move", seed) for seed in range(6)])
    assert moves.std() == pytest.approx(0.3, abs=0.04)
    assert np.corrcoef(moves[:, 1:].ravel(), moves[:, :-1].ravel())[0, 1] < 0.25
    remembered = np.array([log_odds_by_day("null-days-remember", seed) for seed in range(6)])
    assert np.corrcoef(remembered[:, 1:].ravel(), remembered[:, :-1].ravel())[0, 1] > 0.6


def test_one_day_is_bad():
    rates = np.sort(rates_by_day(calibrate.DataSet("null-one-bad-day", 5, 300_000, None)))
    assert rates[-1] == pytest.approx(0.33, abs=0.02)
    assert rates[:-1] == pytest.approx(0.05, abs=0.01)


def test_expected_differences_are_those_of_the_events():
    effects = calibrate.SCENARIOS["realistic"].effects
    expected = calibrate.expected_differences(effects)
    events = calibrate.DataSet("realistic", 1, 200_000, effects).build().to_pandas()
    violations = events["status"] == "violation"
    for (dimension, member), difference in expected.items():
        if dimension in ("region", "data_shared"):
            is_member = events[dimension] == member
            observed = violations[is_member].mean() - violations[~is_member].mean()
            assert observed == pytest.approx(difference, abs=0.012)
    assert math.copysign(1, expected["event_hour", "3"]) == 1
    assert expected["region_and_regulation", "EU / GDPR"] < 0 < expected["region", "AFRICA"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "0"], "'--runs': 0 is not in the range 1<=x<=1000000"),
        (["--events", "x"], "'--events': 'x' is not a valid integer"),
        (["--seed", "-1"], "'--seed': -1 is not in the range 0<=x<=4294967295"),
        (["--workers", "0"], "'--workers': 0 is not in the range 1<=x<=256"),
        (["--scenarios", "nul"], "'--scenarios': 'nul' is not one of 'null', "),
        (["--output", "/no/such/folder/x.json"], "folder /no/such/folder does not exist"),
        (["--output", "."], "'--output': File '.' is a directory"),
        (["--run", "5"], "No such option '--run'"),
    ],
)
def test_bad_values_give_one_line_and_code_2(arguments, message, capsys):
    assert cli.main(["calibrate", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ott") and message in error
    assert error.count("\n") == 1


def test_failure_of_dbt_is_shown(monkeypatch, capsys):
    def fail(folder):
        raise OttError("dbt compile failed:\nno such model")

    monkeypatch.setattr(calibrate, "compile_project", fail)
    assert cli.main(["calibrate"]) == 1
    assert capsys.readouterr().err.endswith("dbt compile failed:\nno such model\n")


def test_help_tells_the_scenarios_and_defaults():
    result = subprocess.run(
        [sys.executable, PROJECT / "scripts" / "ott", "calibrate", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert all(f"  {name} " in result.stdout for name in calibrate.SCENARIOS)
    assert "default: 500" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
