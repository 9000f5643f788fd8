"""What `ott check-source` says of an export: what is there, what to set, what would be rejected."""

import json
import re

import yaml
from conftest import run_ott

EVENTS = [
    {
        "messageId": f"m-{number}",
        "ts": f"{1 + number % 28:02}/01/2026 10:{number:02}:00",
        "user": {"userId": f"anna{number % 4}@example.com"},
        "event": "login",
        "props": {"outcome": ("ok", "review", "breach")[number % 3], "minutes": "12,5"},
    }
    for number in range(30)
]


def test_settings_are_proposed_that_read_the_export(tmp_path):
    file = tmp_path / "events.ndjson"
    file.write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    result = run_ott("check-source", file, "--vars", "{latest_timestamp: now}")
    assert result.returncode == 0, result.stderr
    block = result.stdout.split("dbt_project.yml:\n")[1].split("\nNext:")[0]
    proposed = yaml.safe_load(block)
    columns = proposed["events_columns"]
    assert columns["event_id"] == "messageId"
    assert columns["user_id"] == "user.userId"
    assert columns["session_duration_minutes"] == "props.minutes"
    assert columns["region"] == "absent"
    assert "when 'breach' then 'violation'" in columns["status"]["sql"]
    assert proposed["event_id_type"] == proposed["user_id_type"] == "varchar"
    assert proposed["events_format"] == {
        "timestampformat": "%d/%m/%Y %H:%M:%S", "decimal": ",", "thousands": ".",
    }  # fmt: skip
    assert "0 of them would be quarantined." in result.stdout
    assert "anna" not in result.stdout + result.stderr, "a personal value is shown"

    # They are all that is missing.
    further = {"events_dimensions": {"plan": {"sql": "upper(event)"}}}
    again = run_ott(
        "check-source", "--vars", json.dumps({"latest_timestamp": "now", **proposed, **further})
    )
    assert re.search(r"plan +upper\(event\) +VARCHAR +0.0% +0.0%  a", again.stdout)
    assert "No setting is missing. Next: `make build`." in again.stdout


def test_what_nobody_can_guess_is_asked_for(tmp_path):
    file = tmp_path / "events.csv"
    file.write_text("id,ts\n1,2026-01-02 10:00:00\n")
    result = run_ott("check-source", file)
    assert result.returncode == 1
    assert "No column of the source is called like the status of an event. It has: id, ts." in (
        result.stderr
    )
    result = run_ott("check-source", file, "--vars", "status")
    assert result.returncode == 2 and "--vars takes a mapping" in result.stderr


def test_reasons_stand_with_what_to_do(tmp_path):
    file = tmp_path / "events.csv"
    file.write_text("event_id,timestamp,status,region\n1,2026-01-02 10:00:00,compliant,Atlantis\n")
    result = run_ott("check-source", file)
    assert "1 of them would be quarantined:\n  1 as region_unknown: The region is not in" in (
        result.stdout
    )
    assert "Add it to the seed if it is right" in result.stdout
    assert "Atlantis" not in result.stdout
