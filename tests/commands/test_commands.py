"""The command `ott`: one way in, answers that are whole, sentences in place of tracebacks."""

import csv
import json
import shutil
import subprocess
import sys

import click
import duckdb
import pytest
from conftest import PROJECT, clean_environment, run_ott

from ott import OttError, cli

OTT = PROJECT / "scripts" / "ott"


def commands(group: click.Group = cli.ott, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command and group."""
    found = [words] if words else []
    for name, command in group.commands.items():
        inner = (*words, name)
        found += commands(command, inner) if isinstance(command, click.Group) else [inner]
    return found


# --- every command -------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), *commands()], ids=" ".join)
def test_every_command_explains_itself_and_its_exit_codes(words, capsys):
    assert cli.main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: {' '.join(('ott', *words))} ")
    assert shown.endswith(cli.EXIT_CODES)
    assert max(map(len, shown.splitlines())) <= 100


def test_without_a_command_the_help_has_a_line_that_is_not_cut_for_each(capsys):
    assert cli.main([]) == 0
    lines = capsys.readouterr().out.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == list(cli.ott.commands)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_help_needs_nothing_that_takes_long_to_import():
    heavy = ("duckdb", "dbt", "numpy", "pandas", "pyarrow", "jinja2", "psycopg", "yaml", "tqdm")
    code = (
        f"import sys; sys.path[0] = {str(OTT.parent)!r}; from ott import cli; cli.main(['--help']);"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    shown = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["biuld"], "ott: No such command 'biuld'"),
        (["releases", "lst"], "ott releases: No such command 'lst'"),
        (["report", "--outptu", "x"], "ott report: No such option '--outptu'"),
        (["query", "select", "1"], "ott query: Got unexpected extra argument"),
        (["benchmark", "--sizes"], "ott: Option '--sizes' requires an argument"),
        (["superset", "--database-path", "x"], "ott: --database-path must be absolute"),
        (["postgres", "a secret"], "ott: 1 unknown arguments; quote a connection string"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(arguments, message, capsys):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1
    assert "secret" not in error


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (OttError("It is so, do that."), 1, "It is so, do that.\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "[Errno 13] Permission denied: '/x'\n"),
        (KeyboardInterrupt(), 130, "Stopped; nothing is half done.\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_wrong_is_a_sentence_and_a_code(raised, code, said, monkeypatch, capsys):
    def fail(*_):
        raise raised

    monkeypatch.setattr("ott.query.answer", fail)
    assert cli.main(["query"]) == code
    assert capsys.readouterr().err.lstrip("\n") == said


def test_options_of_several_values_take_them_one_after_the_other(monkeypatch):
    taken = []
    monkeypatch.setattr("ott.lab.benchmark.run.benchmark", lambda **told: taken.append(told))
    assert cli.main(["benchmark", "--engines", "sql", "dbt", "--sizes", "1M", "20k"]) == 1
    assert cli.main(["benchmark"]) == 1
    chosen, default = taken
    assert (chosen["engines"], chosen["sizes"]) == (["sql", "dbt"], [20_000, 1_000_000])
    assert "spark" not in default["engines"] and default["sizes"] == [1_000_000, 10_000_000]


def test_the_launcher_runs_the_package_of_the_project_it_lies_in(new_project, tmp_path):
    project = new_project("launched")
    scripts = project.root / ".venv" / "bin"
    scripts.mkdir(parents=True)
    shutil.copy(PROJECT / "scripts" / "launcher" / "ott", scripts)
    (scripts / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (scripts / "python").chmod(0o755)
    project.events_file.unlink()
    link = tmp_path / "through-a-link"
    link.symlink_to(scripts / "ott")
    environment = {**clean_environment(), "PYTHONPATH": str(PROJECT / "scripts")}
    command = [link, "generate", "--events", "3"]
    shown = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)
    assert shown == f"Wrote 3 events to {project.events_file}\n"
    assert project.events_file.read_text().count("\n") == 4


# --- build ---------------------------------------------------------------------------------------


def test_a_build_leaves_unit_tests_out_publishes_and_says_what_was_found(
    new_project, tmp_path, monkeypatch
):
    project = new_project("ott_build")
    project.generate_events("--scenario", "realistic", "--events", "60000", "--seed", "3")
    monkeypatch.chdir(tmp_path)
    result = run_ott("build", root=project.root)
    assert result.returncode == 0, result.stdout
    assert "unit_test" not in result.stdout
    manifest = json.loads((project.releases / "current" / "manifest.json").read_text())
    assert manifest["unit_tests"] is False
    assert len(manifest["checks"]["passed"]) > 100
    with duckdb.connect(project.releases / "current" / "ott_compliance.duckdb") as connection:
        judged, findings = connection.execute(
            "select count(verdict), list(finding order by display_order)"
            " filter (verdict = 'differs') from marts.key_findings"
        ).fetchone()
    end = result.stdout.split("\n\n")[-1].splitlines()
    assert end[0].startswith("60,000 events, ") and "0 of 60,000 raw rows" in end[0]
    assert findings and [line.strip() for line in end[2:-2]] == findings
    assert end[1].startswith(f"{len(findings)} of {judged} findings claim")
    assert "`.venv/bin/ott query`" in end[-2] and "ott_compliance.duckdb" in end[-1]


@pytest.mark.parametrize("command", ["build", "run", "test"])
def test_a_part_of_a_fresh_clone_is_told_what_it_lacks(new_project, command):
    result = new_project("fresh").dbt(command, "--select", "compliance_by_region")
    assert result.returncode != 0
    output = " ".join(result.stdout.split())
    reads = {"test": "compliance_by_region"}.get(command, "compliance_by_member")
    assert f"reads {reads}" in output
    assert "not built so far. Build everything once, with `make build`" in output
    assert "Catalog Error" not in output and "OK created" not in output


# --- query ---------------------------------------------------------------------------------------


@pytest.fixture
def query(release_file, capsys, monkeypatch):
    """Return a function that prints an answer in a terminal of some width."""

    def answer(*arguments: str, columns: int = 100, code: int = 0) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert cli.main(["query", "--release", str(release_file), *arguments]) == code
        return "".join(capsys.readouterr())

    return answer


@pytest.mark.parametrize("columns", [40, 100, 1000])
def test_findings_are_printed_whole_with_their_verdicts(query, marts, columns):
    shown = query(columns=columns)
    assert columns == 1000 or max(map(len, shown.splitlines())) <= columns
    words = " ".join(shown.split())
    findings = marts("key_findings")
    assert len(findings) > 10
    assert all(" ".join(finding.split()) in words for finding in findings["finding"])
    assert words.count("no_evidence") == (findings["verdict"] == "no_evidence").sum()


def test_a_query_answers_with_all_rows(query, marts):
    shown = query("select user_id from dim_users order by user_id")
    users = [str(user) for user in sorted(marts("dim_users")["user_id"])]
    assert [line.strip() for line in shown.splitlines()[2:]] == users


def test_a_table_has_names_and_numbers_to_the_right(query):
    sql = "values ('EU', 9, null), ('ASIA', 10, 'differs')"
    assert query(f"select * from ({sql}) as t(region, n, verdict)") == (
        "region   n  verdict\n------  --  -------\nEU       9\nASIA    10  differs\n"
    )
    for table in ("key_findings", "dim_users"):
        names, line = query(f"from {table} where false").splitlines()
        assert names.startswith(("display_order", "user_id")) and set(line) == {"-", " "}


def test_no_value_moves_or_colours_the_terminal(query):
    shown = query("select 'a\n\x1b[31mb\u202e\u00a0ü' as value")
    assert shown.splitlines()[2] == "a\\n\\x1b[31mb\\u202e\u00a0ü"


def test_csv_is_that_of_the_table(query, marts):
    rows = csv.DictReader(query("--csv", "from key_findings order by display_order").splitlines())
    found = [(row["finding"], row["p_adjusted"] == "") for row in rows]
    expected = marts("key_findings").sort_values("display_order")
    assert found == list(zip(expected["finding"], expected["p_adjusted"].isna(), strict=True))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", 'syntax error at or near "selec"'),
        ("from nothing", "Table with name nothing does not exist"),
        ("drop table key_findings", "read-only"),
    ],
)
def test_a_query_that_fails_is_told(query, sql, message):
    error = query(sql, code=1)
    assert message in error and "Traceback" not in error


def test_a_reader_who_has_seen_enough_is_no_error(release_file):
    command = [sys.executable, OTT, "query", "--release", release_file, "from range(100000)"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) in (0, 1)
