.DEFAULT_GOAL := help
.PHONY: help build spark report superset test test-slow test-nightly test-spark build-duckdb-2 test-duckdb-2 lint docs clean lock seed benchmark

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
INSTALLED := .venv/installed
OTT := $(BIN)/ott
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(INSTALLED): requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 build")'
	@echo "Installing what the project needs into .venv: a minute or two, once."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

$(OTT): scripts/launcher/ott $(INSTALLED)
	@cp scripts/launcher/ott scripts/launcher/ott.cmd $(BIN)

build: $(OTT)  ## Build and check all tables, and publish them as a release
	$(OTT) build

report: $(OTT)  ## Write the published tables as charts to target/compliance_report.html
	$(OTT) report

superset: $(OTT)  ## Write the Superset dashboard to target/superset_dashboard.zip
	$(OTT) superset

test: $(INSTALLED)  ## Run the tests (whole builds in temporary places among them)
	$(BIN)/python -m pytest -m "not slow and not spark" --numprocesses=2 --dist=loadfile

test-slow: $(INSTALLED)  ## Run the tests that install other programs (Superset: set OTT_TEST_SUPERSET)
	$(BIN)/python -m pytest -m slow --numprocesses=2 --dist=loadfile

test-nightly: $(INSTALLED)  ## Kill 25 whole builds, in place of 1, and replay 400 sequences of changes, in place of 40
	OTT_TEST_BUILD_KILLS=25 OTT_TEST_SEQUENCES=400 $(BIN)/python -m pytest tests/releases/test_faults.py tests/models/test_incremental.py

.venv/spark/installed: scripts/spark-requirements.txt $(INSTALLED)
	$(BIN)/python -m venv --clear .venv/spark
	.venv/spark/bin/python -m pip install --quiet --require-hashes --requirement scripts/spark-requirements.txt
	@touch $@

spark: .venv/spark/installed  ## Install Spark and dbt for it into .venv/spark (460 MB to download)

test-spark: .venv/spark/installed  ## Run the tests on Spark, in-process and as a cluster (needs Java 17)
	$(BIN)/python -m pytest -m spark

.venv/duckdb-2: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ 'duckdb>=2,<2.1'

build-duckdb-2: .venv/duckdb-2  ## Build and check all tables on the newest DuckDB 2.0, in target/duckdb_2.duckdb
	mkdir -p target
	OTT_DATABASE_PATH=target/duckdb_2.duckdb OTT_RELEASE_PATH=target/duckdb_2_release \
		PYTHONPATH=.venv/duckdb-2 $(BIN)/dbt build

test-duckdb-2: .venv/duckdb-2  ## Run the tests that touch the database on the newest DuckDB 2.0
	PYTHONPATH=.venv/duckdb-2 $(BIN)/python -m pytest tests/commands/test_build.py tests/models/test_dirty_events.py \
		tests/models/test_marts.py tests/statistics/test_statistics.py

LINT := .venv/lint/$(notdir $(BIN))
.venv/lint/installed: scripts/lint-requirements.txt $(INSTALLED)
	$(BIN)/python -m venv --clear .venv/lint
	$(LINT)/python -m pip install --quiet --require-hashes --requirement scripts/lint-requirements.txt
	@touch $@

lint: .venv/lint/installed  ## Check style and documentation of SQL, YAML and Python
	$(LINT)/ruff check .
	$(LINT)/ruff format --check .
	$(LINT)/yamllint --strict .
	$(LINT)/sqlfluff lint --processes 2 models analyses tests
	$(LINT)/dbt parse --quiet
	$(LINT)/dbt-bouncer run

docs: $(INSTALLED)  ## Write the documentation site to target/static_index.html, to open as a file
	$(BIN)/dbt docs generate --static

seed: $(OTT)  ## Write the synthetic events anew
	$(OTT) generate

benchmark: $(OTT)  ## Measure against SQL by hand, pandas and polars, to target/benchmark (an hour)
	$(OTT) benchmark

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--custom-compile-command 'make lock' --upgrade
lock: $(INSTALLED)  ## Resolve the newest allowed dependencies into the files of requirements
	$(BIN)/$(LOCK) --group dev pyproject.toml -o requirements.txt
	$(BIN)/$(LOCK) --group lint --constraint requirements.txt -o scripts/lint-requirements.txt

clean:  ## Remove what the other commands made, .venv included, but no release
	rm -rf .venv target logs .pytest_cache .ruff_cache ott_build.duckdb* seeds/*.truth.json
	find . -name __pycache__ -prune -exec rm -rf {} +
