"""The calibration: it runs the project's own models, and its shares are what they say."""

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from ott import cli
from ott.events import generator
from ott.lab import calibrate

TARGETS = (*calibrate.TARGETS, "key_findings", "compliance_by_date")
SCENARIOS = ["null-users-differ", "notebook", "planted-hour", "realistic", "null-days-move"]
SCENARIOS += ["planted-trend"]
# Fingerprints of days hang on how the raw events are typed, which the figures do not.
FIGURES = "select columns(name -> name <> 'fingerprint')"


def data_set(seed: int, scenario: str = "null-users-differ", events: int = 3000, **changes):
    options = {"effects": calibrate.SCENARIOS[scenario].effects, **changes}
    return calibrate.DataSet(scenario, seed, events, **options).build()


@pytest.fixture(scope="module")
def built(new_project, tmp_path_factory) -> tuple:
    """The compiled project, and the database in which dbt built it from a data set."""
    project = new_project("calibrate")
    generator.write_events([data_set(7)], generator.TEXT_SCHEMA, project.events_file, "csv")
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
def bench(built):
    """A bench that has already served another data set."""
    bench = calibrate.Bench(built[0])
    bench.load(data_set(8, "notebook", 1000))
    return bench


def contents(bench, query=None) -> dict[str, list[tuple]]:
    """All tables, with floats to 12 digits: the order of a sum changes the last one."""
    tables = {}
    for name, model in bench.models.items():
        if not model.is_view:
            rows = (query or bench.rows)(f"{FIGURES} from {model.relation} order by all")
            tables[name] = [
                tuple(f"{value:.12g}" if isinstance(value, float) else value for value in row)
                for row in rows
            ]
    return tables


def test_tables_are_those_of_a_dbt_build_and_data_sets_leave_no_trace(built, bench):
    bench.load(data_set(7))
    tables = contents(bench)
    assert {"int_design_effects", "dim_users", "violation_tests", "key_findings"} <= {*tables}
    assert all(tables[name] for name in TARGETS)
    with duckdb.connect(built[1], read_only=True) as connection:
        assert tables == contents(bench, lambda query: connection.sql(query).fetchall())
    bench.override("int_design_effects", calibrate.VARIANTS["no design effect"])
    assert contents(bench) != tables
    bench.load(data_set(7))
    assert contents(bench) == tables
    fresh = calibrate.Bench(built[0])
    fresh.load(data_set(7))
    assert contents(fresh) == tables


def test_design_effects_to_compare_are_what_they_say(bench):
    bench.load(data_set(7))
    bench.override("int_design_effects", calibrate.VARIANTS["no design effect"])
    rows = bench.rows(
        "select design_effect, p_value, p_adjusted from {violation_associations} order by p_value"
    )
    holm = np.minimum(1, np.maximum.accumulate([row[1] * (8 - i) for i, row in enumerate(rows)]))
    assert {row[0] for row in rows} == {1.0}
    assert [row[2] for row in rows] == pytest.approx(holm)

    bench.override("int_design_effects", calibrate.VARIANTS["one design effect for all"])
    [(effect,)] = bench.rows("select distinct design_effect from {violation_associations}")
    events = data_set(7).to_pandas()
    violations = events["status"] == "violation"
    residuals = (violations - violations.mean()).groupby(events["user_id"]).sum()
    variance = residuals.size / (residuals.size - 1) * (residuals**2).sum()
    assert effect == pytest.approx(variance / len(events) / violations.var(ddof=0))
    assert effect > 1.2


@pytest.fixture(scope="module")
def results(built) -> list[dict]:
    """Little work by one and by two workers: one data set a scenario, of few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "compile_project", lambda folder: built[0])
        patch.setattr(calibrate, "BASELINE_RUNS", 1)
        return [calibrate.calibrate(SCENARIOS, 1, 500, 3, workers) for workers in (1, 2)]


def test_result_has_its_parts_whatever_the_number_of_workers(results):
    result, other = results
    assert other == json.loads(json.dumps(result)) == result
    assert {share["scenario"] for share in result["shares"]} == {*SCENARIOS}
    for share in result["shares"]:
        assert 0 <= share["low"] <= share["share"] <= share["high"] <= 1
        assert share["share"] == share["hits"] / share["cases"]
        assert bool(share["requirement"]) == (share["is_met"] in ("yes", "open", "no"))
    required = [share["scenario"] for share in result["shares"] if share["requirement"]]
    assert [required.count(name) for name in SCENARIOS] == [1, 3, 1, 1, 2, 1]
    assert {*result["planted_differences"]} == {"planted-hour", "planted-trend"}
    assert all(0 < difference < 0.5 for difference in result["planted_differences"].values())
    for rows in result["dimensions"].values():
        assert len(rows) == 9
        assert all(0 <= row["differs"] <= row["judged"] <= row["runs"] == 1 for row in rows)


def test_report_goes_to_stdout_and_the_result_to_a_file(results, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(calibrate, "calibrate", lambda *_, **__: results[0])
    assert cli.main(["calibrate", "--output", str(tmp_path / "shares.json")]) == 0
    assert json.loads((tmp_path / "shares.json").read_text()) == results[0]
    report = capsys.readouterr().out
    assert "| notebook | runs with any user confirmed | " in report
    assert "| planted-trend | runs that find trend (+" in report
    tables = [line for line in report.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {8, 6}


def test_seeds_hang_on_run_and_purpose_alone():
    asked = [(seed, name, run) for seed in (1, 2) for name in ("null", "note") for run in range(50)]
    seeds = [calibrate.seed_of(*one) for one in asked]
    assert len({*seeds}) == 200
    assert seeds == [calibrate.seed_of(*one) for one in asked]


def test_interval_is_that_of_wilson_and_cases_that_go_together_count_once():
    share = calibrate.share_of([True] * 7 + [False] * 93, most=0.06)
    assert (share["low"], share["high"]) == pytest.approx(
        proportion_confint(7, 100, method="wilson")
    )
    together = calibrate.share_of([(10, 10)] * 50 + [(0, 10)] * 50)
    once = calibrate.share_of([True] * 50 + [False] * 50)
    assert [together[end] for end in ("low", "high")] == pytest.approx([once["low"], once["high"]])
    assert calibrate.share_of([(0, 0)]) is None


def test_requirement_is_met_or_not():
    for hits, least, most, *said in (
        (50, None, 0.06, "at most 6%", "yes"),
        (65, None, 0.06, "at most 6%", "open"),
        (90, None, 0.06, "at most 6%", "no"),
        (50, 0.06, None, "at least 6%", "open"),
        (30, 0.06, None, "at least 6%", "no"),
        (50, 0.04, 0.06, "4% to 6%", "yes"),
        (90, None, None, "", ""),
    ):
        share = calibrate.share_of([i < hits for i in range(1000)], least, most)
        assert [share["requirement"], share["is_met"]] == said


@pytest.mark.parametrize("name", ["region", "sharing", "hour", "hour-users-differ"])
def test_planted_difference_is_there(name):
    scenario = calibrate.SCENARIOS[f"planted-{name}"]
    dimension, member = scenario.planted
    effects = calibrate.plant(scenario.effects, dimension, member, 0.1)
    events = data_set(1, f"planted-{name}", 200_000, effects=effects).to_pandas()
    events["event_hour"] = events["timestamp"].str[11:13]
    rates = (events["status"] == "violation").groupby(events[dimension] == member).mean()
    assert rates[False] == pytest.approx(0.05, abs=0.004)
    assert rates[True] - rates[False] == pytest.approx(0.1, abs=0.015)


def rates_by_day(scenario: str, seed: int, events: int = 300_000, **changes) -> pd.Series:
    """Violation rates of the whole days by their number."""
    rows = data_set(seed, scenario, events, **changes).to_pandas()
    assert len(rows) == events
    days = (pd.to_datetime(rows["timestamp"]) - pd.Timestamp(calibrate.AS_OF)).dt.days
    return (rows["status"] == "violation").groupby(days.to_numpy() + calibrate.DAYS).mean()[1:30]


def test_days_move_as_far_as_is_said():
    rates = rates_by_day("planted-trend", 1, 1_000_000, change_per_week=0.01)
    assert np.polyfit((rates.index - 15) / 7, rates, 1) == pytest.approx([0.01, 0.05], abs=0.0005)
    correlations = []
    for scenario in ("null-days-move", "null-days-remember"):
        rates = np.array([rates_by_day(scenario, seed) for seed in range(6)])
        moves = np.log(rates / (1 - rates)) - math.log(0.05 / 0.95)
        assert moves.std() == pytest.approx(0.3, abs=0.04)
        correlations.append(np.corrcoef(moves[:, 1:].ravel(), moves[:, :-1].ravel())[0, 1])
    assert correlations[0] < 0.25 < 0.6 < correlations[1]
    *rates, bad = np.sort(rates_by_day("null-one-bad-day", 5))
    assert bad == pytest.approx(0.33, abs=0.02)
    assert rates == pytest.approx([0.05] * 28, abs=0.01)


def test_expected_differences_are_those_of_the_events():
    expected = calibrate.expected_differences(calibrate.SCENARIOS["realistic"].effects)
    events = data_set(1, "realistic", 200_000).to_pandas()
    violations = events["status"] == "violation"
    for (dimension, member), difference in expected.items():
        if dimension in ("region", "data_shared"):
            rates = violations.groupby(events[dimension] == member).mean()
            assert rates[True] - rates[False] == pytest.approx(difference, abs=0.012)
    assert expected["event_hour", "3"] > 0
    assert expected["region_and_regulation", "EU / GDPR"] < 0 < expected["region", "AFRICA"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("--runs", "0", "0 is not in the range 1<=x<=1000000"),
        ("--events", "x", "'x' is not a valid integer"),
        ("--seed", "-1", "-1 is not in the range 0<=x<=4294967295"),
        ("--workers", "0", "0 is not in the range 1<=x<=256"),
        ("--scenarios", "nul", "'nul' is not one of 'null', "),
        ("--output", "/no/such/folder/x.json", "folder /no/such/folder does not exist"),
        ("--output", ".", "File '.' is a directory"),
    ],
)
def test_bad_values_give_one_line_and_code_2(name, value, message, capsys):
    assert cli.main(["calibrate", name, value]) == 2
    assert re.fullmatch(rf"ott.*{re.escape(message)}.*\n", capsys.readouterr().err)


def test_failure_of_dbt_is_shown(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(calibrate, "DBT", "false")
    assert cli.main(["calibrate"]) == 1
    assert capsys.readouterr().err == "dbt seed failed:\n\n"


def test_help_tells_the_scenarios_and_defaults(capsys):
    assert cli.main(["calibrate", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in calibrate.SCENARIOS)
    assert "default: 500" in told
    assert max(map(len, told.splitlines())) <= 100
