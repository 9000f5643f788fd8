"""What the README and the pages that it leads to show is what a reader gets."""

import re
import shlex
import subprocess

import duckdb
import pytest
import yaml
from conftest import PROJECT, run_ott

from ott import cli

NAMES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/overview.md", "models/running.md"]
PAGES = {name: (PROJECT / name).read_text() for name in NAMES}
README, RUNNING = PAGES["README.md"], PAGES["models/running.md"]
CONFIGURATION = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())
FENCED_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def code_blocks(language: str, page: str = README) -> list[str]:
    return [code for name, code in FENCED_BLOCK.findall(page) if name == language]


def pieces_of_code(language: str, page: str) -> list[str]:
    """Lines of code, and code within sentences."""
    lines = "".join(code_blocks(language, page)).splitlines()
    return lines + re.findall(r"`([^`]+)`", FENCED_BLOCK.sub("", page))


def shown_commands(program: str) -> list[str]:
    """What follows the name of a program in code, but for the changelog: it tells of old ones."""
    pages = [page for name, page in PAGES.items() if name != "CHANGELOG.md"]
    pieces = [piece for page in pages for piece in pieces_of_code("bash", page)]
    found = (re.match(rf"(?:\.venv/bin/)?{program} ([^#]+)", piece) for piece in pieces)
    return sorted({match[1].strip() for match in found if match})


def section(page: str, title: str) -> str:
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def test_table_of_marts_is_complete_and_the_example_query_gives_the_printed_output(release_file):
    table = section(README, "What you get").split("For example:")[0]
    listed = {*re.findall(r"`((?!ott_)[a-z_]+)`", table)} - {"marts"}
    (query,), (output,) = code_blocks("sql"), code_blocks("")
    with duckdb.connect(release_file, read_only=True) as connection:
        assert {name for (name,) in connection.sql("show tables from marts").fetchall()} == listed
        assert str(connection.sql(query)).strip() == output.strip()


def test_connection_strings_name_the_release(built_project, monkeypatch):
    sections = "".join(section(page, "Connect your tools") for page in (README, RUNNING))
    release = "release/current/ott_compliance.duckdb"
    names = {release, f"////absolute/path/{release}", "ott_build.duckdb"}
    assert set(re.findall(r"[\w./]*\.duckdb\b", sections)) == names
    (expression,) = set(re.findall(r"`(duckdb\.connect\([^`]*\))`", README + RUNNING))
    monkeypatch.chdir(built_project.root)
    with eval(expression, {"duckdb": duckdb}) as connection:
        assert len(connection.sql("from marts.compliance_by_region").fetchall()) == 5


@pytest.mark.parametrize("command", ["releases list", "releases verify"])
def test_release_commands_run(built_project, command):
    assert command in shown_commands("ott")
    assert run_ott(*command.split(), root=built_project.root).returncode == 0


def test_analysis_example_runs(own_build):
    (command,) = re.findall(r"`.venv/bin/dbt (show [^`]*)`", README)
    result = own_build.dbt(*command.split())
    assert (result.returncode, "AFRICA" in result.stdout) == (0, True), result.stdout


@pytest.mark.parametrize("arguments", shown_commands("ott"))
def test_shown_command_is_taken(arguments, monkeypatch):
    monkeypatch.setattr(cli.Command, "invoke", lambda self, context: 0)
    assert cli.main(shlex.split(arguments)) == 0


def test_make_lists_its_targets_and_those_that_are_shown_exist():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.check_output("make", cwd=PROJECT, text=True)
    listed = re.findall(r"^  make ([a-z0-9-]+)", shown, flags=re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())
    targets = {command.split()[0] for command in shown_commands("make")}
    assert {"build", "test", "lint"} <= targets <= {*listed}
    subprocess.check_call(["make", "--dry-run", *targets], cwd=PROJECT)


def test_columns_of_own_events_are_those_of_the_seed():
    lines = section(PAGES["README.md"], "Your own events").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| `")]
    header = (PROJECT / "seeds" / "raw_compliance_events.csv").read_text().split("\n", 1)[0]
    assert sorted(re.findall(r"`(\w+)`", "".join(cells))) == sorted(header.split(","))


@pytest.mark.parametrize("page", ["README.md", "models/staging/sources.md"])
def test_shown_variables_exist(page):
    text = (PROJECT / page).read_text()
    lines = [code for code in pieces_of_code("yaml", text) if re.match(r"\w+: ", code)]
    assert "events_source" in yaml.safe_load(lines[0])
    assert {name for line in lines for name in yaml.safe_load(line)} <= CONFIGURATION["vars"].keys()


def test_every_environment_variable_is_listed_with_its_default():
    profiles = (PROJECT / "profiles.yml").read_text()
    files = [*(PROJECT / "scripts").rglob("*.py"), *(PROJECT / "macros").rglob("*.sql")]
    code = profiles + "".join(file.read_text() for file in files)
    rows = section(RUNNING, "Environment variables").splitlines()
    row_of = {name: row for row in rows for name in re.findall(r"`(OTT_\w+)`", row)}
    assert set(row_of) == set(re.findall(r"OTT_[A-Z_]+", code))
    for name, default in re.findall(r"env_var\('(OTT_\w+)', '([^']+)'\)", profiles):
        assert re.search(rf"\b{re.escape(default)}\b", row_of[name].split(" | ")[-1]), name


def test_the_house_is_the_tree():
    (house,) = code_blocks("", PAGES["CONTRIBUTING.md"])
    for folder in ("macros", "models", "models/marts", "scripts", "scripts/ott"):
        inner = {path.name for path in (PROJECT / folder).iterdir() if path.is_dir()}
        assert inner <= {"__pycache__", *re.findall(r"(\w+)/", house)}, folder
    for name in re.findall(r"[\w/]+\.py\b", house):
        assert (PROJECT / "scripts" / "ott" / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", FENCED_BLOCK.sub("", PAGES[page])):
        file, _, anchor = link.partition("#")
        if anchor.startswith("!/overview/"):
            # The documentation site shows a package's block of this name there.
            assert anchor == f"!/overview/{CONFIGURATION['name']}", link
            assert RUNNING.startswith(f"{{% docs __{CONFIGURATION['name']}__ %}}\n")
        elif not file.startswith("https:"):
            path = (PROJECT / page).parent / file if file else PROJECT / page
            assert path.exists(), link
            # What GitHub calls the headings of a page in links.
            prose = FENCED_BLOCK.sub("", path.read_text()).lower().replace(" ", "-")
            headings = re.findall(r"^#+-(.*)$", prose, flags=re.MULTILINE)
            assert anchor in ["", *(re.sub(r"[^\w-]", "", heading) for heading in headings)], link
