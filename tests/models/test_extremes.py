"""No value that the rules let through stops a build, however far the limits are set."""

import json
import math

import pytest
from test_degenerate_events import STATUSES, events

FIRST, LAST = -(2**63), 2**63 - 1
MOST = 10**7
# As far as they go.
LIMITS = {
    "minimum_user_age": -MOST,
    "maximum_user_age": MOST,
    "maximum_concurrent_streams": MOST,
    "maximum_session_duration_minutes": MOST,
    "earliest_timestamp": "0001-01-01 00:00:00",
    "latest_timestamp": "2200-01-01 00:00:00",
}
# What events have in turn.
CASES = {
    "numbers at the ends of 64 bits": {
        "event_id": [FIRST, LAST, *range(98)],
        "user_id": [FIRST, 0, LAST],
        "user_age": [-MOST, MOST, MOST - 1, 2**20, 2**20 + 1],
        "concurrent_streams": [MOST, MOST, 2**20, 2**20 + 1, 1],
        "session_duration_minutes": [MOST, "0", "-0", "0." + "0" * 300 + "1"],
        "timestamp": [f"2026-01-{day:02} {day:02}:00:00" for day in range(1, 21)],
    },
    "the same large numbers everywhere": {
        "event_id": range(40),
        "user_id": [1, 2, 3],
        "user_age": [MOST],
        "concurrent_streams": [MOST],
        "session_duration_minutes": [MOST],
        "timestamp": ["2026-01-01 00:00:00"],
    },
    "moments at the ends of a long time": {
        "event_id": range(12),
        "user_id": [1, 2],
        "timestamp": ["0001-01-01 00:00:00", "2026-01-01 12:00:00", "2200-01-01 00:00:00"],
    },
}


@pytest.mark.parametrize("case", CASES)
def test_no_value_within_the_limits_stops_a_build(new_project, case):
    values = {"status": (*STATUSES, "compliant"), **CASES[case]}
    rows = [
        {column: turns[number % len(turns)] for column, turns in values.items()}
        for number in range(len(values["event_id"]))
    ]
    project = new_project("extremes")
    events(rows).assign(event_id=values["event_id"]).to_csv(project.events_file, index=False)
    result = project.build("--vars", json.dumps(LIMITS))
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        connection.execute("use marts")
        for (mart,) in connection.sql("show tables").fetchall():
            for row in connection.table(mart).fetchall():
                numbers = [value for value in row if isinstance(value, float)]
                assert all(map(math.isfinite, numbers)), (mart, row)
        assert len(connection.table("fct_compliance_events")) == len(rows)
        [(streams,)] = connection.table("dim_users").max("average_concurrent_streams").fetchall()
    assert streams <= float(max(values.get("concurrent_streams", [1])))


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("maximum_session_duration_minutes", 1e8, "must be a number from 0 to 1e7"),
        ("maximum_session_duration_minutes", "a day", "must be a number from 0 to 1e7"),
        ("maximum_session_duration_minutes", math.inf, "must be a number from 0 to 1e7"),
        ("age_band_starts", [18, 13], "must be a list of whole numbers of years above 0"),
        ("age_band_starts", [0, 18], "must be a list of whole numbers of years above 0"),
        ("age_band_starts", [13, 17.5], "must be a list of whole numbers of years above 0"),
        ("age_band_starts", [], "must be a list of whole numbers of years above 0"),
    ],
)
def test_an_impossible_limit_is_refused_in_a_sentence(new_project, name, value, rule):
    limits = json.dumps({name: value}).replace("Infinity", ".inf")
    result = new_project("endless").build("--vars", limits, is_parsed=True)
    assert result.returncode != 0
    sentence = " ".join(result.stdout.split())
    assert f"The var {name} is" in sentence and rule in sentence
    assert "Traceback" not in result.stdout and "START" not in result.stdout
