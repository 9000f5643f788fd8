"""Every figure of every mart is that of the oracle: on the seed, dirty and planted events.

Text, counts, verdicts and sentences are equal, other numbers agree to nine digits.
"""

import math
from copy import copy
from dataclasses import asdict

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from oracle.tables import Oracle
from test_degenerate_events import CASES, STATUSES, as_text, events

from ott.cli import main
from ott.events.generator import REALISTIC_EFFECTS
from ott.lab import calibrate

# What the registry says; nothing in them is computed.
LISTS = {"dimensions", "rejection_reasons", "event_attributes"}
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
MEAGRE = {case: rows for case, rows in CASES.items() if case != "everything quarantined"}
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
    bench = calibrate.Bench(compiled_marts)
    relations = {name: model.relation for name, model in bench.models.items()}
    bench.marts = {
        name: place
        for name, place in relations.items()
        if '"marts"' in place and not name.startswith("int_")
    }
    return bench


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Raw rows of text by name."""
    raw = {case: events(rows) for case, rows in MEAGRE.items()}
    for name, arguments in GENERATED.items():
        file = tmp_path_factory.mktemp("events") / "events.csv"
        assert main(["generate", *arguments, "--output", str(file)]) == 0
        raw[name] = text_of(file)
    return raw


def load(bench: calibrate.Bench, raw: pd.DataFrame) -> Oracle:
    """Run the models over raw rows, and return the oracle for them."""
    bench.load(as_text(raw))
    return Oracle(raw)


def assert_marts(query, relations: dict[str, str], oracle: Oracle) -> None:
    """Every mart has the columns and the rows of the oracle."""
    expected = oracle.marts()
    assert expected.keys() == relations.keys() - LISTS
    for name, frame in expected.items():
        assert_mart(query, relations[name], frame)


def assert_mart(query, mart: str, expected: pd.DataFrame) -> None:
    """A mart has the columns and the rows of a data frame, in any order."""
    types = {column: kind for column, kind, *_ in query(f"describe {mart}")}
    assert set(types.values()) <= TYPES, mart
    assert types.keys() - LOOKED_UP <= set(expected.columns) <= types.keys(), mart
    exact = [column for column in expected if types[column] != "DOUBLE"]
    numbers = [column for column in expected if types[column] == "DOUBLE"]
    size = len(exact)

    def in_order(rows) -> list[tuple]:
        return sorted(rows, key=lambda row: [str(value) for value in row[:size]])

    found = in_order(query(f"select {', '.join(exact + numbers)} from {mart}"))
    wanted = expected[exact + numbers].astype(object)
    wanted = in_order(wanted.where(wanted.notna(), None).itertuples(index=False, name=None))
    assert [row[:size] for row in found] == [row[:size] for row in wanted], mart
    for row, other in zip(found, wanted, strict=True):
        for column, value, number in zip(numbers, row[size:], other[size:], strict=True):
            assert value == number or (
                None not in (value, number)
                and math.isclose(value, number, rel_tol=TOLERANCE, abs_tol=1e-12)
            ), (mart, column, value, number, row)


def test_marts_of_the_seed(built_project, release_file):
    with duckdb.connect(release_file, read_only=True) as connection:
        names = connection.sql(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
        assert_marts(
            lambda sql: connection.execute(sql).fetchall(),
            {name: f"marts.{name}" for (name,) in names},
            Oracle(text_of(built_project.events_file)),
        )


@pytest.mark.parametrize("name", [*GENERATED, *MEAGRE])
def test_marts(bench, data_sets, name):
    assert_marts(bench.rows, bench.marts, load(bench, data_sets[name]))


def test_marts_without_a_single_accepted_row_hold_zeros(bench):
    """Nothing divides by zero when all is quarantined, and no known member vanishes."""
    bench.load(as_text(events(CASES["everything quarantined"])))
    expected = {
        "select events, users, event_share, violation_rate, violation_rate_low, verdict"
        " from {compliance_by_region}": [(0, 0, None, None, None, "too_few")] * 5,
        "select events, violation_rate_high from {compliance_by_user_risk_tier}": [(0, None)] * 3,
        "select events, mean_minutes from {session_duration_statistics}": [(0, None)],
        "select days, events, p_value, p_adjusted, verdict from {violation_trend}": [
            (0, 0, None, None, "too_few")
        ],
        "select count(*), sum(frequency) from {session_duration_histogram}": [(50, 0)],
        "select verdict, finding from {key_findings} where topic = 'trend'": [
            ("too_few", "There are too few whole days to see a trend of the violation rate.")
        ],
        "select value_number from {compliance_summary} where metric = 'total_events'": [(0,)],
        "select value_number from {compliance_summary} where metric = 'violation_rate'": [(None,)],
    }
    assert {query: bench.rows(query) for query in expected} == expected


# --- Days of every kind --------------------------------------------------------------------------

STEADY = [(200, 10 + i % 3) for i in range(20)]


def last_whole(days: list[tuple], *changed: int) -> list[tuple]:
    """The days, the last but one of them another."""
    return [*days[:-2], changed, days[-1]]


def rise_of(percentage_points: float) -> list[tuple]:
    """So many events that the least change is beyond doubt."""
    steps = np.linspace(0, percentage_points / 100, 18)
    rising = [(10_000_000, round((0.05 + step) * 10_000_000)) for step in steps]
    return [rising[0], *rising, rising[-1]]


def with_few(violations: int) -> list[tuple]:
    return [(50, int(3 <= i < 3 + violations)) for i in range(20)]


def reversed_in(days: list[tuple]) -> list[tuple]:
    return [(events, events - violations) for events, violations in days]


# By the verdict on the trend, days as (events, violations); the first and the last are partial.
DAYS = {
    "no_evidence": {
        "steady": STEADY,
        "more than chance": [(500 + 7 * i, (5, 60, 20, 90)[i % 4] + i) for i in range(30)],
        "one day far out": [(300, 150 if i == 12 else 15 + i % 2) for i in range(40)],
        "two days far out": [(300, 90 if i in (9, 27) else 15 + i % 4) for i in range(30)],
        "a third of the last whole day": last_whole(STEADY, 200, 66),
        "a tenth of a large last day": last_whole(STEADY, 2000, 220),
        "rising by less than matters": rise_of(0.49),
        "days of unlike size": [
            (size, size * (4 + i % 3) // 100) for i, size in enumerate([9000, 500, 90] * 10)
        ],
        "days without events": [(0, 0) if i in (3, 4, 9) else (100, 4 + i % 5) for i in range(15)],
        "a week without events": [(0, 0) if 3 <= i <= 12 else (100, 4 + i % 5) for i in range(20)],
        "five violations": with_few(5),
        "five without": reversed_in(with_few(5)),
    },
    "differs": {
        "rising": [(400, 10 + 2 * i) for i in range(30)],
        "rising beyond the limits": [(9000, 200 + 20 * i + 9 * (i % 3)) for i in range(30)],
        "rising by as much as matters": rise_of(0.51),
    },
    # Beyond the limits, but as far from the line as from the upper one only.
    "differs without clustering": {
        "rising": last_whole([(150, 1 + i // 2 + i % 2) for i in range(20)], 150, 16),
    },
    "too_few": {
        "one whole day": [(50, 3)] * 3,
        "two whole days": [(50, 5)] * 4,
        "no violation": with_few(0),
        "nothing but violations": reversed_in(with_few(0)),
        "four violations": with_few(4),
        "four without": reversed_in(with_few(4)),
    },
}
SET_ASIDE = {
    "one day far out": "2026-01-13",
    "two days far out": "2026-01-10,2026-01-28",
    "a third of the last whole day": "2026-01-19",
    "a tenth of a large last day": "2026-01-19",
}


@pytest.fixture(scope="module")
def six_days(bench, data_sets) -> Oracle:
    """The models have run over some events, in place of whose days others are put."""
    return load(bench, data_sets["six days"])


@pytest.mark.parametrize("effect", [1.0, 2.5], ids=["no clustering", "clustering"])
@pytest.mark.parametrize(("verdict", "case"), [(key, case) for key in DAYS for case in DAYS[key]])
def test_control_chart_and_trend_of_days(bench, six_days, verdict, case, effect):
    days = pd.DataFrame(DAYS[verdict][case], columns=["events", "violation_events"])
    dates = pd.date_range("2026-01-01", periods=len(days)).date
    days = days.set_index(pd.Index(dates, name="event_date")).assign(is_partial=False)
    days.iloc[[0, -1], 2] = True
    oracle = copy(six_days)
    oracle.days = days
    oracle.associations = six_days.associations.assign(design_effect=effect)
    for figures in ("control_chart", "trend"):
        vars(oracle).pop(figures, None)
    columns = "event_date, events, violation_events, is_partial as is_partial_day"
    table = pa.Table.from_pandas(days.reset_index())
    bench.replace("int_days", f"select {columns} from other_days", other_days=table)
    bench.replace(
        "int_design_effects",
        f"select dimension, outcome, {effect} as design_effect, 1000 as denominator_degrees"
        " from {dimensions} cross join (values ('violation'), ('warning')) as outcomes (outcome)"
        " where is_tested",
    )
    assert_mart(bench.rows, "{violation_control_chart}", oracle.control_chart)
    assert_mart(bench.rows, "{violation_trend}", pd.DataFrame([oracle.trend]))
    if verdict == "differs without clustering":
        verdict = "differs" if effect == 1 else "no_evidence"
    found = bench.rows("select verdict, dates_set_aside from {violation_trend}")
    assert found == [(verdict, SET_ASIDE.get(case))]


# --- What is promised ----------------------------------------------------------------------------


def test_figures_of_the_notebook(built_project):
    """What the pandas notebook, that the project grew from, prints; it counts in percent."""
    printed = {
        "count(*) from fct_compliance_events": (5000,),
        "count(*) from dim_users": (2877,),
        "events from compliance_by_status where status = 'compliant'": (3947,),
        "events from compliance_by_status where status = 'warning'": (776,),
        "events from compliance_by_status where status = 'violation'": (277,),
        "value_text from compliance_summary where metric = 'highest_violation_region'": ("AFRICA",),
        "violation_events, events from compliance_by_region where region = 'AFRICA'": (16, 250),
        "value_number from compliance_summary where metric = 'highest_violation_hour'": (22,),
        "violation_events, events from compliance_by_hour where event_hour = 22": (21, 197),
        "users from compliance_by_user_risk_tier where risk_tier = 'high'": (268,),
        # The notebook has no level for users without violations.
        "users from compliance_by_user_risk_tier where risk_tier = 'low'": (2609,),
    }
    with built_project.connect() as connection:
        connection.execute("use marts")
        found = {sql: connection.execute(f"select {sql}").fetchone() for sql in printed}
    assert found == printed


def test_every_relation_and_column_is_described_in_the_database(release_file):
    query = """
        with described as (
            select schema_name, table_name, null as column_name, comment from duckdb_tables()
            union all
            select schema_name, view_name, null, comment from duckdb_views()
            union all
            select schema_name, table_name, column_name, comment from duckdb_columns()
        )
        select table_name, column_name from described
        where schema_name = 'marts' and coalesce(trim(comment), '') = ''
    """
    with duckdb.connect(release_file, read_only=True) as connection:
        assert connection.execute(query).fetchall() == []


def test_seed_without_effects_shows_no_difference(built_project):
    with built_project.connect() as connection:
        for mart in ("violation_associations", "violation_tests", "violation_trend"):
            claims = connection.sql(f"from marts.{mart} where verdict = 'differs'")
            assert claims.fetchall() == []
        confirmed = connection.sql("from marts.dim_users where risk_evidence = 'confirmed'")
        assert confirmed.fetchall() == []


def test_planted_effects_and_users_are_found_and_no_others(bench, data_sets):
    bench.load(as_text(data_sets["known effects"]))
    verdicts = dict(bench.rows("select dimension, verdict from {violation_associations}"))
    assert verdicts["region"] == verdicts["data_shared"] == "differs"
    others = {verdicts[name] for name in ("event_type", "concurrent_streams", "event_date")}
    assert others == {"no_evidence"}
    above = bench.rows(
        "select dimension, member from {violation_tests} where verdict = 'differs'"
        " and rate_difference > 0 and dimension not in ('regulation', 'region_and_regulation')"
    )
    planted = asdict(REALISTIC_EFFECTS)
    planted["event_hour"] = {str(hour): more for hour, more in enumerate(planted["event_hour"])}
    # Members without an effect may lie below: the rest of the events has one.
    assert all(planted[dimension][member] > 0 for dimension, member in above)
    assert {*above} >= {("region", "ASIA"), ("region", "AFRICA"), ("data_shared", "full")}
    # Users differ, too. They keep their region and regulation, so they blur those most.
    effects = dict(bench.rows("select dimension, design_effect from {violation_associations}"))
    assert min(effects["region"], effects["regulation"]) > 1.3
    confirmed = bench.rows(
        "select shrunk_violation_rate, violation_rate from {dim_users}"
        " where risk_evidence = 'confirmed'"
    )
    [(rate,)] = bench.rows("select avg(is_violation::int) from {fct_compliance_events}")
    assert confirmed and all(rate < shrunk < observed for shrunk, observed in confirmed)
