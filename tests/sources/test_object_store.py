"""Events from an object store: an S3 server on this machine, read by builds."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest
from conftest import assert_same
from test_events_source import build, public_rows

pytestmark = pytest.mark.slow

# The newest DuckDB whose extension httpfs is a Python package, too.
DUCKDB = ("duckdb==1.5.5", "duckdb-extension-httpfs==1.5.5")


def run_sql(*statements: str) -> None:
    """Run SQL in the DuckDB that the builds use."""
    program = f"import duckdb\nfor sql in {statements!r}: duckdb.sql(sql)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.fixture(scope="module")
def server(pip_install) -> Iterator[str]:
    """Address of an S3 server with the bucket `platform`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "PYTHONPATH": str(pip_install("moto[server]==5.2.5"))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    new_bucket = urllib.request.Request(f"http://127.0.0.1:{port}/platform", method="PUT")
    try:
        for _ in range(60):
            with suppress(OSError):
                urllib.request.urlopen(new_bucket, timeout=10).close()
                break
            time.sleep(1)
        else:
            pytest.fail("the server does not answer within a minute")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def store(server, pip_install, tmp_path, monkeypatch) -> None:
    """A user's home with the extension and a secret, which every DuckDB finds from now on."""
    packages = pip_install(*DUCKDB)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("HOME", str(tmp_path))
    (extension,) = packages.glob("duckdb_extension_httpfs/extensions/*/httpfs.duckdb_extension")
    run_sql(
        f"install '{extension}'",
        "create persistent secret (type s3, key_id 'key', secret 'secret', region 'us-east-1',"
        f" endpoint '{server}', use_ssl false, url_style 'path')",
    )


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_objects_give_the_events_of_the_seed_and_a_new_one_is_found(
    store, new_project, built_project, ending
):
    project = new_project("objects")
    parts = ["timestamp < '2026-01-20'", "not coalesce(timestamp < '2026-01-20', false)"]
    for number, condition in enumerate(parts):
        run_sql(
            f"copy (from read_csv('{project.events_file}', all_varchar = true) where {condition})"
            f" to 's3://platform/{ending}/{number}.{ending}'"
        )
        build(project, f"s3://platform/{ending}/*.{ending}")
    assert_same(public_rows(project), public_rows(built_project))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://nobody/*.parquet", "NoSuchBucket"),
        ("s3://platform/none/*.parquet", 'No files found that match the pattern "s3://platform'),
    ],
)
def test_objects_that_are_not_there_stop_the_build(store, new_project, source, message):
    project = new_project("nothing")
    result = project.build("--vars", f"events_source: {source}")
    assert result.returncode != 0
    assert message in result.stdout
    assert not (project.releases / "current").exists()
