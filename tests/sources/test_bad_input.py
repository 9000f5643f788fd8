"""What a user sees when the seed is wrong: a sentence that names the file and what to do."""

import duckdb
import pytest
from conftest import run_ott

from ott import cli, source

HEADER = (
    "event_id,timestamp,user_id,region,regulation,event_type,status,user_age,"
    "session_duration_minutes,concurrent_streams,data_shared"
)
COLUMNS = HEADER.split(",")
ROW = "1,2026-01-02 10:00:00,7,EU,GDPR,login,compliant,30,secret,1,none"
GOOD = f"{HEADER}\n{ROW}\n".replace("secret", "12.5")


@pytest.fixture(scope="module")
def project(new_project):
    """A project built from a file of another form: columns, line ends and a byte order mark."""
    project = new_project("bad_input")
    columns, values = (",".join(reversed(line.split(","))) for line in GOOD.splitlines())
    project.events_file.write_bytes(f"\ufeff{columns},extra\r\n{values},x\r\n".encode())
    result = project.build("--select", "+fct_compliance_events")
    assert result.returncode == 0, result.stdout
    return project


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty. Its first line must name the columns: event_id,"),
        ("\n\n", "is empty. Its first line must name the columns"),
        (f"{HEADER}\n", "has a header but no rows"),
        (GOOD.replace(",", ";"), "is not separated by commas but by ';', it seems. Save it as CSV"),
        (GOOD.replace(",", "\t"), "is not separated by commas"),
        (GOOD.replace("user_age", "age"), "lacks the column(s) user_age. It has: "),
        (GOOD.replace("event_id", "EVENT_ID"), "lacks the column(s) event_id. It has: "),
        (GOOD.replace(",region", ", region"), "lacks the column(s) region. It has: "),
        (f"\n{GOOD}", "begins with an empty line"),
        (f"{GOOD}{ROW.removesuffix(',none')}\n", "cannot be read: line 3 has 10 values, and"),
    ],
)
def test_an_unusable_seed_is_told_with_its_file_and_no_value(tmp_path, content, message):
    file = tmp_path / "seed.csv"
    file.write_text(content)
    with pytest.raises(source.SourceError) as error:
        source.count_seed(str(file), COLUMNS)
    assert f"The events file {file} {message}" in str(error.value)
    assert "secret" not in str(error.value)


def test_an_unusable_seed_stops_the_build_and_leaves_the_tables_as_they_were(project):
    project.events_file.write_text(f"{HEADER}\n{ROW}\n{ROW},one too many\n")
    result = project.build(DBT_LOG_LEVEL_FILE="debug")
    assert result.returncode != 0
    assert "seeds/raw_compliance_events.csv cannot be read: line 3 has 12 values" in result.stdout
    assert "START" not in result.stdout, "something was built before the check"
    assert "secret" not in result.stdout + (project.root / "logs" / "dbt.log").read_text()
    with project.connect() as connection:
        events = connection.sql(
            "select event_id, region, data_shared from marts.fct_compliance_events"
        )
        assert events.fetchall() == [(1, "EU", "none")]


def test_missing_column_in_another_source_is_named(project):
    """The staging model checks what it reads, whatever loaded it."""
    project.events_file.write_text(GOOD)
    with duckdb.connect(project.root / "ott_build.duckdb") as connection:
        connection.sql("alter table raw.raw_compliance_events drop column status")
    result = project.dbt("run", "--select", "base_compliance_events")
    assert result.returncode != 0
    assert "lacks the column(s) status" in result.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.encode() + ROW.replace("EU", "É").encode("latin-1"),
         "is not UTF-8: line 3, column 4 holds the byte 0xc9. Save"),
        (GOOD.encode("utf-16"), "is UTF-16, not UTF-8."),
        (None, "cannot be read: No such file"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_utf8_is_named_with_line_and_column(tmp_path, capsys, content, message):
    path = tmp_path / "events.csv"
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["check-encoding", str(path)]) == 1
    assert f"{path} {message}" in capsys.readouterr().err


def test_a_build_checks_encoding_and_folders_before_dbt_runs(project):
    project.events_file.write_bytes(f"{GOOD}É".encode("latin-1"))
    folders = {"DBT_TARGET_PATH": "/dev/null", "DBT_LOG_PATH": "/dev/null"}
    result = run_ott("build", root=project.root, **folders)
    assert (result.returncode, result.stdout) == (1, "")
    encoding, *of_folders = result.stderr.splitlines()
    assert "seeds/raw_compliance_events.csv is not UTF-8: line 3, column 1" in encoding
    for said, variable in zip(of_folders, folders, strict=True):
        assert said.startswith("/dev/null cannot be written") and variable in said
