"""The calibration: it runs the project's own models; worlds and shares are what they say."""

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import OF_ONE_BUILD
from statsmodels.stats.proportion import proportion_confint

from ott import cli
from ott.events import generator
from ott.lab import calibrate
from ott.lab.worlds import WORLDS, World

TARGETS = (*calibrate.TARGETS, "key_findings", "compliance_by_date")
SCENARIOS = ["null-users-differ", "notebook", "planted-region", "realistic", "null-days-move"]
SCENARIOS += ["planted-trend", "tiny", "null-looks"]
# Fingerprints of days hang on how the raw events are typed, which the figures do not.
FIGURES = "select columns(name -> not suffix(name, 'fingerprint'))"


def as_text(events: pa.Table) -> pa.Table:
    return generator.as_text(events.select(generator.SCHEMA.names))


def data_set(seed: int, scenario: str = "null-users-differ", events: int = 3000) -> pa.Table:
    return as_text(WORLDS[scenario].draw(seed, events))


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
        if not model.is_view and name not in OF_ONE_BUILD:
            rows = (query or bench.rows)(f"{FIGURES} from {model.relation} order by all")
            tables[name] = [
                tuple(f"{value:.12g}" if isinstance(value, float) else value for value in row)
                for row in rows
            ]
    return tables


def test_tables_are_those_of_a_dbt_build_and_data_sets_leave_no_trace(built, bench):
    bench.load(data_set(7))
    tables = contents(bench)
    assert {"int_design_effects", "dim_users", "outcome_tests"} <= {*tables}
    assert all(tables[name] for name in TARGETS)
    with duckdb.connect(built[1], read_only=True) as connection:
        assert tables == contents(bench, lambda query: connection.sql(query).fetchall())
    bench.load(data_set(8))
    assert contents(bench) != tables
    bench.load(data_set(7))
    assert contents(bench) == tables


def test_accepted_events_give_the_figures_of_raw_ones(built, bench):
    bench.load(data_set(7))
    judged = [f"{FIGURES} from {bench.relations[name]} order by all" for name in calibrate.TARGETS]
    expected = [bench.rows(query) for query in judged]
    fresh = calibrate.Bench(built[0])
    for seed in (8, 7):
        fresh.load(WORLDS["null-users-differ"].draw(seed, 3000), accepted=True)
    assert [fresh.rows(query) for query in judged] == expected


@pytest.fixture(scope="module")
def results(built) -> list[dict]:
    """Little work by one and by two workers: one data set a scenario, of few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "compile_project", lambda *_, **__: built[0])
        patch.setattr(calibrate, "BASELINE_RUNS", 1)
        arguments = {"runs": 1, "events": 1500, "seed": 3}
        return [calibrate.calibrate(SCENARIOS, **arguments, workers=workers) for workers in (1, 2)]


def test_result_has_its_parts_whatever_the_number_of_workers(results):
    result, other = results
    assert other == json.loads(json.dumps(result)) == result
    assert {share["scenario"] for share in result["shares"]} == {*SCENARIOS}
    for share in result["shares"]:
        assert 0 <= share["low"] <= share["share"] <= share["high"] <= 1
        assert share["share"] == share["hits"] / share["cases"]
        assert bool(share["requirement"]) == (share["is_met"] in ("yes", "open", "no"))
    required = [share["scenario"] for share in result["shares"] if share["requirement"]]
    assert [required.count(name) for name in SCENARIOS] == [4, 4, 1, 1, 4, 1, 1, 3]
    assert {*result["planted_differences"]} == {"planted-region", "planted-trend"}
    assert all(0 < difference < 0.5 for difference in result["planted_differences"].values())
    for rows in result["dimensions"].values():
        assert "trend" in {row["dimension"] for row in rows}
        assert all(0 <= row["differs"] <= row["judged"] <= row["runs"] == 1 for row in rows)


def test_report_goes_to_stdout_and_the_result_to_a_file(results, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(calibrate, "calibrate", lambda *_, **__: results[0])
    assert cli.main(["calibrate", "--output", str(tmp_path / "shares.json")]) == 0
    assert json.loads((tmp_path / "shares.json").read_text()) == results[0]
    report = capsys.readouterr().out
    assert "| notebook | " in report
    assert "find trend (+" in report
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
        (50, 0.04, 0.06, "at least 4%, at most 6%", "yes"),
        (90, None, None, "", ""),
    ):
        share = calibrate.share_of([i < hits for i in range(1000)], least, most)
        assert [share["requirement"], share["is_met"]] == said


# --- the worlds ----------------------------------------------------------------------------------


def drawn(scenario: World | str, events: int, seed: int = 1, difference: float = 0.0):
    """A data set as rows, with violations, days and hours."""
    world = WORLDS[scenario] if isinstance(scenario, str) else scenario
    rows = world.draw(seed, events, difference).to_pandas()
    assert len(rows) == events == rows["event_id"].nunique()
    rows["is_violation"] = rows["status"] == "violation"
    rows["event_hour"] = rows["timestamp"].dt.hour.astype(str)
    rows["day"] = (rows["timestamp"] - pd.Timestamp(calibrate.AS_OF)).dt.days + world.days
    assert world.generated or rows["day"].between(0, world.days - 1).all()
    return rows


@pytest.mark.parametrize("scenario", [name for name in WORLDS if WORLDS[name].rates()])
def test_rates_are_those_of_the_world(scenario):
    world = replace(WORLDS[scenario], users=20_000, pareto=None)
    rows = drawn(world, 200_000)
    for outcome, rate in world.rates().items():
        error = math.sqrt(rate * (1 - rate) / 200_000 * 3)
        assert (rows["status"] == outcome).mean() == pytest.approx(rate, abs=4 * error)


@pytest.mark.parametrize("name", ["region", "sharing", "hour", "hour-users-differ"])
def test_planted_difference_is_there(name):
    world = replace(WORLDS[f"planted-{name}"], users=20_000)
    rows = drawn(world, 200_000, difference=0.1)
    dimension, member = world.planted
    rates = rows["is_violation"].groupby(rows[dimension] == member).mean()
    assert rates[False] == pytest.approx(0.05, abs=0.004)
    assert rates[True] - rates[False] == pytest.approx(0.1, abs=0.015)


def design_effect(rows: pd.DataFrame, clusters: str = "user_id") -> float:
    """How much more the violations of clusters vary than those of as many independent events."""
    residuals = (rows["is_violation"] - rows["is_violation"].mean()).groupby(rows[clusters]).sum()
    return (residuals**2).sum() / len(rows) / rows["is_violation"].var(ddof=0)


def test_users_have_the_effects_regions_and_events_that_are_said():
    effects = {
        name: design_effect(drawn(f"null-{name}", 5000)) for name in ("users-few", "sessions")
    }
    assert effects["users-few"] > 2
    assert effects["sessions"] == pytest.approx(4.6, abs=0.6)  # mean square of lengths over mean
    assert design_effect(drawn("null", 200_000)) == pytest.approx(1, abs=0.3)
    for users in (3, 5, 10):
        rows = drawn(f"null-users-nested-{users}", 5000)
        assert {*rows.groupby("region")["user_id"].nunique()} == {users}
        assert rows.groupby("user_id")["region"].nunique().max() == 1
    largest = [
        np.median(
            [
                drawn(f"null-users-{name}", 5000, seed)["user_id"].value_counts().max()
                for seed in range(9)
            ]
        )
        for name in ("differ", "heavy-1.5", "heavy-1.1")
    ]
    assert largest[0] < 50 < 150 < largest[1] < largest[2]


def test_sessions_have_one_outcome_and_users_many_of_them():
    rows = drawn("null-sessions", 5000).sort_values("event_id")
    assert rows.groupby("user_id")["day"].nunique().mean() > 3
    starts = (rows["user_id"].diff() != 0) | (rows["day"].diff() != 0)
    sessions = rows.groupby(starts.cumsum())
    assert sessions.size().iloc[:-1].min() >= 3
    assert sessions["status"].nunique().max() == 1


def rates_by_day(scenario: str, seed: int, difference: float = 0.0) -> pd.Series:
    rows = drawn(scenario, 300_000, seed, difference)
    return rows["is_violation"].groupby(rows["day"]).mean()


def test_days_move_as_far_as_is_said():
    rates = rates_by_day("planted-trend", 1, 0.01)
    assert np.polyfit((rates.index - 14.5) / 7, rates, 1) == pytest.approx([0.01, 0.05], abs=0.001)
    correlations = []
    for scenario in ("null-days-move", "null-days-remember", "null-days-wander", "null-weekly"):
        rates = np.array([rates_by_day(scenario, seed) for seed in range(8)])
        moves = np.log(rates / (1 - rates)) - math.log(0.05 / 0.95)
        assert moves.std() == pytest.approx(0.3, abs=0.08)
        correlations.append(np.corrcoef(moves[:, 1:].ravel(), moves[:, :-1].ravel())[0, 1])
    assert correlations[0] < 0.25 < 0.6 < correlations[1]
    assert np.corrcoef(moves[:, 7:].ravel(), moves[:, :-7].ravel())[0, 1] > 0.95
    *rates, bad = np.sort(rates_by_day("null-one-bad-day", 5))
    assert bad == pytest.approx(0.30, abs=0.02)
    assert rates == pytest.approx([0.05] * 29, abs=0.01)
    rows = drawn("null-bad-day-of-region", 300_000)
    rates = rows["is_violation"].groupby([rows["region"] == "ASIA", rows["day"]]).mean()
    assert rates[True].max() == pytest.approx(0.3, abs=0.04)
    assert rates[False].max() < 0.06


def test_a_mix_makes_a_region_differ_only_as_far_as_its_events_are_of_another_kind():
    for scenario, kinds in (("mix", ["event_type"]), ("mix-of-two", ["event_type", "data_shared"])):
        rows = drawn(replace(WORLDS[scenario], users=20_000), 300_000)
        is_eu = rows["region"] == "EU"
        crude = rows["is_violation"].groupby(is_eu).mean()
        assert crude[True] - crude[False] > 0.015
        cells = rows.groupby([*kinds, is_eu])["is_violation"].agg(["mean", "size"]).unstack()
        difference = cells["mean"][True] - cells["mean"][False]
        assert np.average(difference, weights=cells["size"][True]) == pytest.approx(0, abs=0.005)
    rows = drawn("mix-and-region", 300_000)
    rates = rows.groupby(["event_type", rows["region"] == "EU"])["is_violation"].mean().unstack()
    assert (rates[True] - rates[False] > 0.015).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("--runs", "0", "0 is not in the range 1<=x<=1000000"),
        ("--events", "x", "'x' is not a valid integer"),
        ("--seed", "-1", "-1 is not in the range 0<=x<=4294967295"),
        ("--workers", "0", "0 is not in the range 1<=x<=256"),
        ("--scenarios", "nul", "'nul' is not one of 'null', "),
        ("--project", "/no/such", "Directory '/no/such' does not exist"),
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
    assert all(f"  {name} " in told for name in WORLDS)
    assert "default: 200" in told
    assert max(map(len, told.splitlines())) <= 100
