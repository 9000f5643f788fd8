"""What a user sees when the input is wrong: a sentence that names the file and what to do."""

import subprocess
import sys

import duckdb
import pytest

HEADER = (
    "event_id,timestamp,user_id,region,regulation,event_type,status,user_age,"
    "session_duration_minutes,concurrent_streams,data_shared"
)
ROW = "1,2026-01-02 10:00:00,7,EU,GDPR,login,compliant,30,12.5,1,none"


@pytest.fixture(scope="module")
def project(new_project):
    return new_project("bad_input")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "is empty. Its first line must name the columns: event_id,", id="empty"),
        pytest.param("\n\n", "is empty. Its first line must name the columns", id="blank lines"),
        pytest.param(f"{HEADER}\n", "has a header but no rows", id="header only"),
        pytest.param(
            f"{HEADER}\n{ROW}\n".replace(",", ";"),
            "is not separated by commas but by ';', it seems. Save it as CSV with commas.",
            id="semicolons",
        ),
        pytest.param(
            f"{HEADER}\n{ROW}\n".replace(",", "\t"), "is not separated by commas", id="tabs"
        ),
        pytest.param(
            f"{HEADER}\n{ROW}\n".replace("user_age", "age"),
            "lacks the column(s) user_age. It has: ",
            id="missing column",
        ),
        pytest.param(
            f"{HEADER}\n{ROW}\n".replace("event_id", "EVENT_ID"),
            "lacks the column(s) event_id. It has: ",
            id="upper case",
        ),
        pytest.param(
            f"{HEADER}\n{ROW}\n".replace(",region", ", region"),
            "lacks the column(s) region. It has: ",
            id="blank before a name",
        ),
        pytest.param(
            f"{HEADER},region\n{ROW},US\n", "names the column region twice", id="column named twice"
        ),
        pytest.param(f"\n{HEADER}\n{ROW}\n", "begins with an empty line", id="first line empty"),
        pytest.param(f"{ROW}\n", "lacks the column(s) event_id, timestamp", id="no header"),
    ],
)
def test_unusable_file_stops_the_build_with_a_sentence(project, content, message):
    project.events_file.write_text(content)
    result = project.build()
    assert result.returncode != 0
    assert f"The events file seeds/raw_compliance_events.csv {message}" in result.stdout
    assert "START" not in result.stdout, "something was built before the check"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{ROW},one too many", "line 3 has 12 values, and the first line names 11 columns"),
        (ROW.removesuffix(",none"), "line 3 has 10 values, and the first line names 11 columns"),
        (ROW.replace("EU", '"EU'), "a quote is not closed"),
    ],
    ids=["too many values", "too few values", "open quote"],
)
def test_ragged_row_stops_the_build_and_is_named_but_not_shown(project, row, message):
    project.events_file.write_text(f"{HEADER}\n{ROW}\n{row.replace('12.5', 'secret')}\n")
    result = project.build("--select", "raw_compliance_events", DBT_LOG_LEVEL_FILE="debug")
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    assert f"seeds/raw_compliance_events.csv cannot be read: {message}" in output
    assert "secret" not in output
    assert "secret" not in (project.root / "logs" / "dbt.log").read_text()


def test_usable_variants_of_a_file_are_read(project):
    columns, values = HEADER.split(","), ROW.split(",")
    project.events_file.write_text(
        "\ufeff"
        + ",".join([*reversed(columns), "extra"])
        + "\r\n"
        + ",".join([*reversed(values), "x"])
        + "\r\n",
        newline="",
    )
    result = project.build("--select", "+fct_compliance_events")
    assert result.returncode == 0, result.stdout
    with project.connect() as connection:
        events = connection.sql(
            "select event_id, region, data_shared from marts.fct_compliance_events"
        )
        assert events.fetchall() == [(1, "EU", "none")]


def test_failed_build_leaves_the_tables_as_they_were(project):
    project.events_file.write_text(f"{HEADER}\n{ROW}\n")
    result = project.build("--select", "+fct_compliance_events")
    assert result.returncode == 0, result.stdout
    project.events_file.write_text("")
    assert project.build().returncode != 0
    with project.connect() as connection:
        assert connection.sql("from marts.fct_compliance_events").fetchall()


def test_missing_column_in_another_source_is_named(project):
    """The staging model checks what it reads, whatever loaded it."""
    project.events_file.write_text(f"{HEADER}\n{ROW}\n")
    assert project.dbt("seed").returncode == 0
    with duckdb.connect(project.root / "ott_build.duckdb") as connection:
        connection.sql("alter table raw.raw_compliance_events drop column status")
    result = project.dbt("run", "--select", "base_compliance_events")
    assert result.returncode != 0
    assert "lacks the column(s) status" in result.stdout


def test_file_that_is_not_utf8_is_named_with_line_and_column(project, tmp_path):
    path = tmp_path / "events.csv"
    path.write_bytes(f"{HEADER}\n{ROW}\n".encode() + ROW.replace("EU", "É").encode("latin-1"))
    result = subprocess.run(
        [sys.executable, "scripts/ott", "check-encoding", path],
        cwd=project.root,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert f"{path} is not UTF-8: line 3, column 4 holds the byte 0xc9. Save" in result.stderr


def test_utf16_file_is_named(project, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(f"{HEADER}\n{ROW}\n", encoding="utf-16")
    result = subprocess.run(
        [sys.executable, "scripts/ott", "check-encoding", path],
        cwd=project.root,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert f"{path} is UTF-16, not UTF-8." in result.stderr


def test_a_build_checks_the_encoding_before_dbt_runs(new_project):
    project = new_project("latin")
    project.events_file.write_bytes(project.events_file.read_bytes() + "É".encode("latin-1"))
    result = subprocess.run(
        [sys.executable, project.root / "scripts" / "ott", "build"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "seeds/raw_compliance_events.csv is not UTF-8: line 5002, column 1" in result.stderr
    assert result.stdout == "" and result.stderr.count("\n") == 1


def test_unreadable_file_is_named(project, tmp_path):
    result = subprocess.run(
        [sys.executable, "scripts/ott", "check-encoding", tmp_path / "none.csv"],
        cwd=project.root,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "none.csv cannot be read: No such file" in result.stderr
