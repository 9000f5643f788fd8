"""Every figure of every mart is that of the oracle: on the seed, dirty and planted events.

Text, counts, verdicts and sentences are equal, other numbers agree to nine digits.
"""

import math
from copy import copy
from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from oracle.tables import Oracle
from test_degenerate_events import CASES, STATUSES, events

from ott.cli import main
from ott.events.generator import REALISTIC_EFFECTS
from ott.lab import calibrate

# What the registry says; nothing in them is computed.
LISTS = {"dimensions", "rejection_reasons"}
# Columns that are looked up for a row.
LOOKED_UP = {"color", "description", "display_order", "section", "unit"}
# Not HUGEINT, which clients read as a float.
TYPES = {"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "INTEGER", "TIMESTAMP", "VARCHAR"}
TOLERANCE = 1e-9
GENERATED = {
    "known effects": ("--scenario", "realistic", "--events", "60000", "--seed", "3"),
    "dirty": ("--scenario", "dirty", "--events", "5000", "--defect-rate", "0.2"),
}
# The oracle needs an event.
MEAGRE = {case: rows for case, (rows, _) in CASES.items() if case != "everything quarantined"}
# The larger of two members with the same rate is named first, whatever they are called.
MEAGRE["two members with one rate"] = [
    {"event_type": name, "status": STATUSES[i % 10 == 0], "user_id": i, "copies": copies}
    for name, copies in (("login", 8), ("download", 4))
    for i in range(40)
]


def text_of(file) -> pd.DataFrame:
    """The rows of a CSV file as text, None where there is none."""
    raw = pd.read_csv(file, dtype=str, keep_default_na=False).astype(object)
    return raw.where(raw != "", None)


@pytest.fixture(scope="module")
def bench(compiled_marts) -> calibrate.Bench:
    """All models, to run over one data set after another."""
    return calibrate.Bench(compiled_marts)


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("events")
    for name, arguments in GENERATED.items():
        assert main(["generate", *arguments, "--output", str(folder / f"{name}.csv")]) == 0
    return {name: text_of(folder / f"{name}.csv") for name in GENERATED}


def load(bench: calibrate.Bench, raw: pd.DataFrame) -> Oracle:
    """Run the models over raw rows, and return the oracle for them."""
    bench.load(pa.table({name: pa.array(raw[name].tolist(), pa.string()) for name in raw}))
    return Oracle(raw, power=calibrate.POWER)


def assert_marts(query, relations: dict[str, str], oracle: Oracle) -> None:
    """Every mart has the columns and the rows of the oracle."""
    expected = oracle.marts()
    assert expected.keys() == relations.keys() - LISTS
    for name, frame in expected.items():
        # Hill's expansion of Student's t is asymptotic; see test_statistics.
        is_few = name == "metric_correlations" and len(oracle.events) < 5000
        assert_mart(query, relations[name], frame, 0.03 if is_few else TOLERANCE)


def assert_mart(
    query, mart: str, expected: pd.DataFrame, tolerance_of_p: float = TOLERANCE
) -> None:
    """A mart has the columns and the rows of a data frame, in any order."""
    types = {column: kind for column, kind, *_ in query(f"describe {mart}")}
    assert set(types.values()) <= TYPES, mart
    assert types.keys() - LOOKED_UP <= set(expected.columns) <= types.keys(), mart
    exact = [column for column in expected if types[column] != "DOUBLE"]
    numbers = [column for column in expected if types[column] == "DOUBLE"]

    def in_order(rows) -> list[tuple]:
        return sorted(rows, key=lambda row: [str(value) for value in row[: len(exact)]])

    found = in_order(query(f"select {', '.join(exact + numbers)} from {mart}"))
    wanted = expected[exact + numbers].astype(object)
    wanted = in_order(wanted.where(wanted.notna(), None).itertuples(index=False, name=None))
    size = len(exact)
    assert [row[:size] for row in found] == [row[:size] for row in wanted], mart
    for row, other in zip(found, wanted, strict=True):
        for column, value, number in zip(numbers, row[size:], other[size:], strict=True):
            tolerance = tolerance_of_p if column.endswith("p_value") else TOLERANCE
            assert (value is None) == (number is None) and (
                value is None or math.isclose(value, number, rel_tol=tolerance, abs_tol=1e-12)
            ), (mart, column, value, number, row)


def relations_of(bench: calibrate.Bench) -> dict[str, str]:
    return {
        name: model.relation for name, model in bench.models.items() if '"marts"' in model.relation
    }


def test_marts_of_the_seed(built_project):
    with built_project.connect() as connection:

        def query(sql: str) -> list[tuple]:
            return connection.execute(sql).fetchall()

        tables = query(
            "select table_name from information_schema.tables where table_schema='marts'"
        )
        relations = {name: f"marts.{name}" for (name,) in tables}
        assert_marts(query, relations, Oracle(text_of(built_project.events_file)))


@pytest.mark.parametrize("name", GENERATED)
def test_marts_of_generated_events(bench, generated, name):
    oracle = load(bench, generated[name])
    assert_marts(bench.rows, relations_of(bench), oracle)


@pytest.mark.parametrize("case", MEAGRE)
def test_marts_of_meagre_events(bench, case):
    oracle = load(bench, events(MEAGRE[case]).astype(str).astype(object))
    assert_marts(bench.rows, relations_of(bench), oracle)


def test_marts_without_a_single_accepted_row_hold_zeros(bench):
    """Nothing divides by zero when all is quarantined, and no known member vanishes."""
    rows = events(CASES["everything quarantined"][0]).astype(str).astype(object)
    bench.load(pa.table({name: pa.array(rows[name].tolist(), pa.string()) for name in rows}))
    expected = {
        "select events, users, event_share, violation_rate, violation_rate_low, verdict"
        " from {compliance_by_region}": [(0, 0, None, None, None, "too_few")] * 5,
        "select events, violation_rate_high from {compliance_by_user_risk_tier}": [(0, None)] * 3,
        "select events, mean_minutes from {session_duration_statistics}": [(0, None)],
        "select days, events, p_value, p_adjusted, verdict from {violation_trend}": [
            (0, 0, None, None, "too_few")
        ],
        "select count(*), sum(frequency) from {session_duration_histogram}": [(50, 0)],
        "select topic from {key_findings} where verdict = 'differs'": [],
        "select value_number from {compliance_summary}"
        " where metric in ('total_events', 'violation_rate') order by display_order": [
            (0,),
            (None,),
        ],
    }
    assert {query: bench.rows(query) for query in expected} == expected


# --- Days of every kind --------------------------------------------------------------------------

STEADY = [(200, 10 + i % 3) for i in range(20)]


def change(days: list[tuple], **changed: tuple) -> list[tuple]:
    """The days, some of them others: `day_3=(200, 66)`."""
    return [changed.get(f"day_{number}", day) for number, day in enumerate(days)]


def rise_of(percentage_points: float) -> list[tuple]:
    """So many events that the least change is beyond doubt."""
    steps = np.linspace(0, percentage_points / 100, 18)
    rising = [(10_000_000, round((0.05 + step) * 10_000_000)) for step in steps]
    return [rising[0], *rising, rising[-1]]


def with_few(violations: int) -> list[tuple]:
    return [(50, int(3 <= i < 3 + violations)) for i in range(20)]


def reversed_in(days: list[tuple]) -> list[tuple]:
    return [(events, events - violations) for events, violations in days]


# Days as (events, violations), of which the first and the last are partial; the verdict on the
# trend, and which days are set aside.
DAYS = {
    "steady": (STEADY, "no_evidence", None),
    "more than chance": (
        [(500 + 7 * i, (5, 60, 20, 90)[i % 4] + i) for i in range(30)],
        "no_evidence",
        None,
    ),
    "one day far out": (
        [(300, 150 if i == 12 else 15 + i % 2) for i in range(40)],
        "no_evidence",
        "2026-01-13",
    ),
    "two days far out": (
        [(300, 90 if i in (9, 27) else 15 + i % 4) for i in range(30)],
        "no_evidence",
        "2026-01-10,2026-01-28",
    ),
    "a third of the last whole day": (
        change(STEADY, day_18=(200, 66)),
        "no_evidence",
        "2026-01-19",
    ),
    "a third of a large last day": (
        change(STEADY, day_18=(2000, 666)),
        "no_evidence",
        "2026-01-19",
    ),
    "rising": ([(400, 10 + 2 * i) for i in range(30)], "differs", None),
    "rising beyond the limits": (
        [(9000, 200 + 20 * i + 9 * (i % 3)) for i in range(30)],
        "differs",
        None,
    ),
    # Beyond the limits, but as far from the line as from the upper one only.
    "rising from next to none": (
        change([(100, 1 + i // 3 + i % 2) for i in range(20)], day_18=(100, 12)),
        {1.0: "differs", 2.5: "no_evidence"},
        None,
    ),
    "rising by less than matters": (rise_of(0.49), "no_evidence", None),
    "rising by as much as matters": (rise_of(0.51), "differs", None),
    "days of unlike size": (
        [(size, size * (4 + i % 3) // 100) for i, size in enumerate([9000, 500, 90] * 10)],
        "no_evidence",
        None,
    ),
    "days without events": (
        [(0, 0) if i in (3, 4, 9) else (100, 4 + i % 5) for i in range(15)],
        "no_evidence",
        None,
    ),
    "a week without events": (
        [(0, 0) if 3 <= i <= 12 else (100, 4 + i % 5) for i in range(20)],
        "no_evidence",
        None,
    ),
    "one whole day": ([(50, 3)] * 3, "too_few", None),
    "two whole days": ([(50, 5)] * 4, "too_few", None),
    "no violation": (with_few(0), "too_few", None),
    "nothing but violations": (reversed_in(with_few(0)), "too_few", None),
    "four violations": (with_few(4), "too_few", None),
    "five violations": (with_few(5), "no_evidence", None),
    "four without": (reversed_in(with_few(4)), "too_few", None),
    "five without": (reversed_in(with_few(5)), "no_evidence", None),
}


@pytest.fixture(scope="module")
def six_days(bench) -> Oracle:
    """The models have run over some events, in place of whose days others are put."""
    oracle = load(bench, events(CASES["six days"][0]).astype(str).astype(object))
    assert len(oracle.associations) > 1
    return oracle


@pytest.mark.parametrize("effect", [1.0, 2.5], ids=["no clustering", "clustering"])
@pytest.mark.parametrize("case", DAYS)
def test_control_chart_and_trend_of_days(bench, six_days, case, effect):
    rows, verdict, set_aside = DAYS[case]
    verdict = verdict if isinstance(verdict, str) else verdict[effect]
    oracle = copy(six_days)
    days = pd.DataFrame(rows, columns=["events", "violation_events"])
    days.index = pd.date_range("2026-01-01", periods=len(days), name="event_date").date
    oracle.days = days.rename_axis("event_date").assign(is_partial=False)
    oracle.days.iloc[[0, -1], 2] = True
    oracle.associations = six_days.associations.assign(design_effect=effect)
    listed = ", ".join(
        f"(date '{date}', {day.events}, {day.violation_events}, {day.is_partial})"
        for date, day in zip(oracle.days.index, oracle.days.itertuples(), strict=True)
    )
    columns = "event_date, events, violation_events, is_partial_day"
    bench.override("int_days", f"select * from (values {listed}) as days ({columns})")
    bench.override(
        "int_design_effects",
        f"select dimension, {effect} as design_effect from {{dimensions}} where is_tested",
    )
    relations = relations_of(bench)
    chart, trend = relations["violation_control_chart"], relations["violation_trend"]
    assert_mart(bench.rows, chart, oracle.control_chart)
    assert_mart(bench.rows, trend, pd.DataFrame([oracle.trend]))
    assert bench.rows(f"select verdict, dates_set_aside from {trend}") == [(verdict, set_aside)]


# --- What is promised ----------------------------------------------------------------------------


def test_figures_of_the_notebook(built_project):
    """What the pandas notebook, that the project grew from, prints; it counts in percent."""
    printed = {
        "select count(*) from fct_compliance_events": 5000,
        "select count(*) from dim_users": 2877,
        "select events from compliance_by_status where status = 'compliant'": 3947,
        "select events from compliance_by_status where status = 'warning'": 776,
        "select events from compliance_by_status where status = 'violation'": 277,
        "select value_text from compliance_summary"
        " where metric = 'highest_violation_region'": "AFRICA",
        "select violation_events || ' of ' || events from compliance_by_region"
        " where region = 'AFRICA'": "16 of 250",
        "select value_number from compliance_summary where metric = 'highest_violation_hour'": 22,
        "select violation_events || ' of ' || events from compliance_by_hour"
        " where event_hour = 22": "21 of 197",
        "select users from compliance_by_user_risk_tier where risk_tier = 'high'": 268,
        # The notebook has no level for users without violations.
        "select users from compliance_by_user_risk_tier where risk_tier = 'low'": 2609,
    }
    with built_project.connect() as connection:
        connection.execute("use marts")
        found = {sql: connection.execute(sql).fetchone()[0] for sql in printed}
    assert found == printed


def test_every_relation_and_column_is_described_in_the_database(built_project):
    with built_project.connect() as connection:
        undescribed = connection.execute(
            """
            select table_name, null as column_name from duckdb_tables()
            where schema_name = 'marts' and coalesce(trim(comment), '') = ''
            union all
            select view_name, null from duckdb_views()
            where schema_name = 'marts' and coalesce(trim(comment), '') = ''
            union all
            select table_name, column_name from duckdb_columns()
            where schema_name = 'marts' and coalesce(trim(comment), '') = ''
            """
        ).fetchall()
    assert undescribed == []


# --- What the statistics conclude ----------------------------------------------------------------


def test_seed_without_effects_shows_no_difference(built_project):
    with built_project.connect() as connection:
        for mart in (
            "violation_associations",
            "violation_tests",
            "violation_trend",
            "key_findings",
        ):
            verdicts = connection.sql(f"select distinct verdict from marts.{mart}").fetchall()
            assert {verdict for (verdict,) in verdicts} <= {"no_evidence", "too_few", None}
        confirmed = "select count(*) from marts.dim_users where risk_evidence = 'confirmed'"
        assert connection.sql(confirmed).fetchone() == (0,)


@pytest.fixture(scope="module")
def planted(bench, generated) -> Oracle:
    """The models have run over events with known effects, and users that differ, too."""
    return load(bench, generated["known effects"])


def test_planted_effects_are_found_and_no_others(bench, planted):
    effects = asdict(REALISTIC_EFFECTS)
    verdicts = dict(bench.rows("select dimension, verdict from {violation_associations}"))
    assert {name for name, verdict in verdicts.items() if verdict == "differs"} >= {
        "region",
        "data_shared",
        "event_hour",
    }
    for dimension in ("event_type", "concurrent_streams", "event_date"):
        assert verdicts[dimension] == "no_evidence"
    found = bench.rows(
        "select dimension, member, rate_difference > 0 from {violation_tests}"
        " where verdict = 'differs' and dimension not in ('regulation', 'region_and_regulation')"
    )
    above = {(dimension, member) for dimension, member, is_above in found if is_above}
    hours = {("event_hour", str(h)) for h, effect in enumerate(effects["event_hour"]) if effect > 0}
    regions = {("region", name) for name, effect in effects["region"].items() if effect > 0}
    levels = {
        ("data_shared", name) for name, effect in effects["data_shared"].items() if effect > 0
    }
    # Members without an effect may lie below: the rest of the events has one.
    assert above <= hours | regions | levels
    assert above >= {("region", "ASIA"), ("region", "AFRICA"), ("data_shared", "full")}
    assert above & hours
    for dimension, member in above:
        (said,) = bench.rows(
            f"select finding from {{key_findings}} where topic = '{dimension}'"
            f" and contains(finding, ' {member} is ')"
            " and contains(finding, ' above that of all other events, more than chance explains.')"
        )
        assert said


def test_planted_users_differ(bench, planted):
    effects = dict(bench.rows("select dimension, design_effect from {violation_associations}"))
    # Users keep their region and regulation, so their own effects blur those most.
    assert min(effects["region"], effects["regulation"]) > 1.3
    rate = planted.events["is_violation"].mean()
    confirmed = bench.rows(
        "select shrunk_violation_rate, violation_rate from {dim_users}"
        " where risk_evidence = 'confirmed'"
    )
    assert confirmed
    assert all(rate < shrunk < observed for shrunk, observed in confirmed)
