"""Files of events: each row read once and by its own types, or a sentence; counted a second way."""

import gzip
import json
import re
from functools import partial

import duckdb
import pytest

from ott import source

COLUMNS = ["a", "b"]


@pytest.fixture
def read(tmp_path):
    """Return a function that reads files of a folder: how many rows, and the rows."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")

        def rows(path: str, columns=COLUMNS) -> tuple[int | None, list[tuple]]:
            files = source.EventFiles(connection, str(tmp_path / path), source.Wanted(columns))
            counted = files.count_rows({})
            query = f"select * exclude (ott_file) from {files.query} order by all"
            return counted, connection.execute(query).fetchall()

        yield rows


def write(folder, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


ODD_NAMES = ["ev1", "ev[1]", "ev*", "ev?", "ev[!1]", "[", "ev 'x'", "ev]", "{a,b}", "évé"]


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_each_file_is_read_once_whatever_its_name(tmp_path, read, ending):
    for number, name in enumerate(ODD_NAMES):
        # Written under a plain name: DuckDB may take another for a pattern.
        file = tmp_path / "written"
        duckdb.sql(f"copy (select {number} as a, 'x' as b) to '{file}' (format {ending})")
        file.rename(tmp_path / f"{name}.{ending}")
    counted, rows = read(f"*.{ending}")
    assert sorted(int(a) for a, _ in rows) == [*range(counted)] == [*range(len(ODD_NAMES))]
    # Named by itself, a file is that file.
    for number, name in enumerate(ODD_NAMES):
        counted, rows = read(f"{name}.{ending}")
        assert (counted, [int(a) for a, _ in rows]) == (1, [number]), name


def test_names_of_columns_are_compared_in_ascii(tmp_path, read):
    """As DuckDB does; JSON tells all letters apart."""
    write(tmp_path, {"1.csv": "Регион,A\nx,1\n", "2.csv": "a,Регион\n2,y\n"})
    write(tmp_path, {"quoted.csv": 'a,"the ""b"", in short"\n1,x\n'})
    assert read("[12].csv", ["Регион", "a"]) == (2, [("x", "1"), ("y", "2")])
    assert read("quoted.csv", ["a", 'the "b", in short']) == (1, [("1", "x")])
    with pytest.raises(source.SourceError, match=r"\.csv lacks the column.* регион"):
        read("*.csv", ["регион", "a"])
    duckdb.sql("select 1 as É, 2 as A").write_parquet(str(tmp_path / "1.parquet"))
    assert read("*.parquet", ["É", "a"]) == (1, [(1, 2)])
    with pytest.raises(source.SourceError, match=r"1\.parquet lacks the column.* é"):
        read("*.parquet", ["é", "a"])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["9007199254740993::bigint", "5::float"], ["5.0", "9007199254740993"]),
        (["9007199254740993::bigint", "16777217::float"], ["1.677721600e+07", "9007199254740993"]),
        (["9007199254740993::bigint", "5.5::double"], ["5.5", "9007199254740993"]),
        (["10::decimal(38, 0)", "7.50::decimal(9, 2)", "100::decimal(9, 2)"], ["10", "100", "7.5"]),
        (["1::bigint", "true"], ["1", "true"]),
        (["timestamp '2026-01-01'", "date '2026-01-02'"], ["2026-01-01 00:00:00", "2026-01-02"]),
        (["timestamp '2026-01-01 10:00:00'", "time '11:00:00'"],
         ["11:00:00", "2026-01-01 10:00:00"]),
        (["timestamp '2026-01-01 10:00:00'", "timestamptz '2026-01-01 10:00:00+02'"],
         ["2026-01-01 08:00:00+00", "2026-01-01 10:00:00"]),
        (["timestamp_ns '2026-01-01 10:00:00.123456789'", "timestamp '3000-01-01'"],
         ["2026-01-01 10:00:00.123456789", "3000-01-01 00:00:00"]),
        (["'EU'", "{code: 'EU'}"], ["EU", "{'code': EU}"]),
        (["1.5::double", "0.1::float"], ["0.10000000149011612", "1.5"]),
        # Whole numbers of several sizes keep a type.
        ([f"{1 - 2**63}::bigint", "1::tinyint", "2::integer", f"{2**64 - 1}::ubigint"],
         [1 - 2**63, 1, 2, 2**64 - 1]),
    ],
)  # fmt: skip
def test_a_column_of_several_types_counts_file_by_file(tmp_path, read, values, found):
    for number, value in enumerate(values):
        row = duckdb.sql(f"select {value} as a, 1 as b")
        row.write_parquet(str(tmp_path / f"{number}.parquet"))
    counted, rows = read("*.parquet")
    assert (counted, sorted(a for a, _ in rows)) == (len(values), found)


def test_files_without_rows_and_files_of_other_columns_change_no_type(tmp_path, read):
    """pandas, for one, writes an empty table with types of its own."""
    queries = [
        "select 1::bigint as a, 'x' as b, [1] as list",
        "select 'y' as B, {a: 1} as extra, 2::bigint as A",
        "select 'text' as a, 1.5 as b limit 0",
    ]
    for number, query in enumerate(queries):
        duckdb.sql(query).write_parquet(str(tmp_path / f"{number}.parquet"))
    assert read("*.parquet") == (2, [(1, "x"), (2, "y")])
    assert read("2.parquet") == (0, [])


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('a,b\r\n1,"one\ntwo"\r\n2,x\r\n', [("1", "one\ntwo"), ("2", "x")]),
        ('a,b\n1,"one\r\ntwo"\n', [("1", "one\r\ntwo")]),
        ('\ufeffb,"a"\r\n"x, y","say ""1"""', [('say "1"', "x, y")]),
        ("a,b\n\n1,x\n\n\n", [("1", "x")]),
        ("a,b\r1,x\r2,y\r", [("1", "x"), ("2", "y")]),
        (",A,B,,b 2\n0,1,x,,\n", [("1", "x")]),
        ("a,b\n#1,x\n2,y\n", [("#1", "x"), ("2", "y")]),
        ("a,b\n", []),
    ],
)
@pytest.mark.parametrize(("ending", "pack"), [("csv", bytes), ("csv.gz", gzip.compress)])
def test_csv_as_programs_write_it(tmp_path, read, content, rows, ending, pack):
    write(tmp_path, {f"x.{ending}": pack(content.encode())})
    assert read(f"x.{ending}") == (len(rows), rows)


EVENT = '{"a": 1, "b": {"c": [{"d": "}{"}, {}, null]}}'


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (f"{EVENT}\n{EVENT}\r\n\n  \n{EVENT}", 3),
        (f"{EVENT}{EVENT}\n{EVENT} {EVENT}\n", 4),
        (f"[{EVENT},\n{EVENT}]", 2),
        (json.dumps([json.loads(EVENT)] * 2, indent=2), 2),
        ('{"a": "\\"}{", "b": "{\\\\"}\n' * 3, 3),
        (f"\ufeff{EVENT}\n", 1),
        ("[]", 0),
        (f"[{EVENT},\n{EVENT},null\n,{EVENT}\n]", 4),
        (f"{EVENT}\nnull\n{EVENT}\n", 3),
        ("[" + ", ".join([json.dumps({"a": '"{\\' * 9, "b": "}"})] * 60_000) + "]", 60_000),
    ],
)
def test_json_as_programs_write_it(tmp_path, read, content, rows):
    # The first file tells the columns; DuckDB finds none in an empty array.
    write(tmp_path, {"1.ndjson": EVENT, "2.ndjson": content})
    counted, read_rows = read("*.ndjson")
    assert counted == len(read_rows) == rows + 1


PERSON = "anna@example.com"
# The time would be part of the names of tests, and differ between processes.
gzipped = partial(gzip.compress, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.csv", f"a,b\n1,x\n{PERSON},x,y\n", "x.csv cannot be read: line 3 has 3 values"),
        ("x.csv", f'a,b\n1,"{PERSON}\n2,y\n', "a quote is not closed"),
        ("x.csv", f'a,b\n1,"{PERSON}"x\n2,y\n', "in the row that ends in line 2"),
        ("x.csv", f"a,b\r\n1,x\n{PERSON},y\r\n", "mixes line ends of several kinds"),
        ("x.csv", f"1,{PERSON}\n2,x\n", "has no line of names, it seems: its first line holds 2"),
        ("x.csv", f"c,{PERSON}\n2,x\n", "lacks the column(s) a, b. Add them"),
        ("x.csv", f"a,b\n1,{PERSON} é\n".encode("latin-1"), "not UTF-8: line 2, column 2"),
        ("x.csv", "a,b,A\n1,2,3\n", "names the column a twice"),
        ("x.csv", f'a,"b\nc",b\r\n1,2,{PERSON}\r\n', "it holds 1 rows, and DuckDB finds 0"),
        ("x.csv.GZ", gzipped(b"a,b\n1,x\n"), "ends in capitals"),
        ("x.ndjson", "[]", "holds no JSON objects with keys"),
        ("x.ndjson", f'{{"{PERSON}": {{"age": 30}}}}', "lacks the column(s) a, b. Add them"),
        ("x.csv.gz", gzipped(f"a,b\n1,{PERSON}\n".encode() * 99)[:-8], "ended before"),
        ("x.csv.gz", gzipped(b"a,b\n1,x\n")[:-8] + bytes(8), "CRC check failed"),
        ("x.csv.gz", gzipped(f"a,b\n1,{PERSON} é\n".encode("latin-1")), "not UTF-8"),
        ("x.ndjson.gz", gzipped(EVENT.encode() * 99)[:-9], "cannot be read"),
        ("x.ndjson", f'{EVENT}\n{{"a": "{PERSON}', "is no JSON there, or ends in the"),
        ("x.ndjson", f'{EVENT}\n{{"a": 1, "a": "{PERSON}", "b": 1}}\n', "has a key twice"),
        ("x.ndjson", f'{EVENT}\n' * 30_000 + f'["{PERSON}"]\n', "something else than an object"),
        ("x.parquet", b"PAR1 and no more", "x.parquet"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_without_a_value(tmp_path, read, name, content, sentence):
    write(tmp_path, {name: content})
    with pytest.raises(source.SourceError, match=re.escape(sentence)) as error:
        read(f"*.{name.partition('.')[2]}")
    assert name in str(error.value)
    assert PERSON not in str(error.value)


def test_the_count_would_notice_rows_that_the_query_leaves_out(tmp_path, read, monkeypatch):
    write(tmp_path, {"x.csv": "a,b\n1,x\n2,y\n", "y.csv": "a,b\n3,z\n"})
    monkeypatch.setattr(source.files, "escape", lambda file: file.replace("x", "y"))
    with pytest.raises(source.SourceError, match=r"x\.csv .*: it holds 2 rows, and DuckDB finds 0"):
        read("*.csv")


def test_what_some_files_lack_is_told_with_their_rows(tmp_path):
    write(tmp_path, {"1.csv": "a\n1\n2\n", "2.csv": "a,b\n3,x\n", "3.csv": "a\n4\n"})
    duckdb.sql(f"copy (select i as a from range(3) as n (i)) to '{tmp_path}/4.parquet'")
    with duckdb.connect() as connection:
        files = source.EventFiles(connection, f"{tmp_path}/*.*", source.Wanted(COLUMNS))
        files.count_rows({})
    (note,) = files.notes
    assert note.startswith("3 of 4 events files lack the column b, among them ")
    assert note.endswith(": it is missing in their 6 rows.")
