"""Every figure of every mart is that of the oracle: on the seed, dirty and planted events.

Text, counts, verdicts and sentences are equal, other numbers agree to nine digits.
"""

import math
from dataclasses import asdict

import pandas as pd
import pyarrow as pa
import pytest
from oracle.tables import Oracle
from test_degenerate_events import CASES, events

from ott.cli import main
from ott.events.generator import REALISTIC_EFFECTS
from ott.lab import calibrate

# What the registry says; nothing in them is computed.
LISTS = {"dimensions", "rejection_reasons"}
# Columns that are looked up for a row.
LOOKED_UP = {"color", "description", "display_order", "section", "unit"}
# Not HUGEINT, which clients read as a float.
TYPES = {"BIGINT", "BOOLEAN", "DATE", "DOUBLE", "INTEGER", "TIMESTAMP", "VARCHAR"}
GENERATED = {
    "known effects": ("--scenario", "realistic", "--events", "60000", "--seed", "3"),
    "dirty": ("--scenario", "dirty", "--events", "5000", "--defect-rate", "0.2"),
}
# The oracle needs an event.
MEAGRE = [case for case in CASES if case != "everything quarantined"]


def text_of(file) -> pd.DataFrame:
    """The rows of a CSV file as text, None where there is none."""
    raw = pd.read_csv(file, dtype=str, keep_default_na=False).astype(object)
    return raw.where(raw != "", None)


@pytest.fixture(scope="module")
def bench(new_project, tmp_path_factory) -> calibrate.Bench:
    """All models, to run over one data set after another."""
    project = new_project("marts")
    marts = [file.stem for file in (project.root / "models" / "marts").rglob("*.sql")]
    folder = tmp_path_factory.mktemp("marts")
    return calibrate.Bench(calibrate.compile_project(folder, project.root, marts))


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
        types = {column: kind for column, kind, *_ in query(f"describe {relations[name]}")}
        assert set(types.values()) <= TYPES, name
        assert types.keys() - LOOKED_UP <= set(frame.columns) <= types.keys(), name
        columns = sorted(frame.columns, key=lambda column: types[column] == "DOUBLE")
        exact = sum(types[column] != "DOUBLE" for column in columns)

        def in_order(rows, exact=exact):
            return sorted(rows, key=lambda its: [str(value) for value in its[:exact]])

        found = in_order(query(f"select {', '.join(columns)} from {relations[name]}"))
        wanted = frame[columns].astype(object).where(frame[columns].notna(), None)
        wanted = in_order(wanted.itertuples(index=False, name=None))
        assert [row[:exact] for row in found] == [row[:exact] for row in wanted], name
        # Hill's expansion of Student's t is asymptotic; see test_statistics.
        few = name == "metric_correlations" and len(oracle.events) < 5000
        for row, other in zip(found, wanted, strict=True):
            for column, value, number in zip(
                columns[exact:], row[exact:], other[exact:], strict=True
            ):
                tolerance = 0.03 if few and column.endswith("p_value") else 1e-9
                assert (value is None) == (number is None) and (
                    value is None or math.isclose(value, number, rel_tol=tolerance, abs_tol=1e-12)
                ), (name, column, value, number, row)


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
    oracle = load(bench, events(CASES[case][0]).astype(str).astype(object))
    assert_marts(bench.rows, relations_of(bench), oracle)


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
