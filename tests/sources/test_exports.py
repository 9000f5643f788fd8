"""Exports as real platforms write them: read with settings alone, or told in a sentence.

Each is a few events in another form, judged by the macros that judge those of a build.
"""

import csv
import gzip
import io
import json
import os
import sys

import duckdb
import pytest

from ott import OttError, cli
from ott.check_source import Judge

EVENTS = """
    select
        i as event_id,
        timestamp '2026-01-01 10:00:00' + to_hours(i) as timestamp,
        1000 + i % 5 as user_id,
        ['US', 'EU', 'ASIA'][1 + i % 3] as region,
        ['CCPA', 'GDPR', 'PIPL'][1 + i % 3] as regulation,
        ['login', 'stream_start'][1 + i % 2] as event_type,
        ['compliant', 'warning', 'violation'][1 + i % 3] as status,
        20 + i as user_age,
        i + 0.25::double as session_duration_minutes,
        1 + i % 3 as concurrent_streams,
        ['none', 'partial', 'full'][1 + i % 3] as data_shared
    from range(1, 13) as numbers (i)
"""
LIVE = {"latest_timestamp": "2026-12-31 00:00:00"}
ALL = {"rejected": 0}


def rejects(**reasons: int) -> dict:
    """Rows by the reason that rejects them."""
    return {"reasons": reasons}


def counted(unit: str) -> dict:
    """All are read, and it is said by which unit."""
    said = f"By their size, timestamps are counts of {unit} since 1970, in 12 of the first rows"
    return {"notes": [f"{said} of the source."]}


def replaced(**columns: str) -> str:
    """The events, some columns of them other SQL."""
    return f"select * replace ({', '.join(f'{sql} as {c}' for c, sql in columns.items())}) from e"


def odd(column: str, *values: str) -> str:
    """The events, in whose first rows a column has these values."""
    cases = " ".join(f"when {number} then {value}" for number, value in enumerate(values, 1))
    return replaced(**{column: f"case event_id {cases} else {column} end"})


def sql(expression: str) -> dict:
    return {"sql": expression}


def columns(**sources) -> dict:
    return {"events_columns": sources}


def form(**options) -> dict:
    return {"events_format": options}


TEXT_IDS = {"event_id_type": "varchar", "user_id_type": "varchar"}
OPTIONAL = ("region", "regulation", "event_type", "user_age", "session_duration_minutes",
            "concurrent_streams", "data_shared", "user_id")  # fmt: skip
FORMS = [
    f"strftime(timestamp, '{form}')"
    for form in (
        "%Y-%m-%dT%H:%M:%S.%gZ", "%Y-%m-%d %H:%M:%S+0100", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M",
        "%Y-%m-%dT%H:%MZ", "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%Y-%m-%d %H:%M:%S+02",
    )
]  # fmt: skip
HALF = replaced(**{column: f"if(event_id > 6, null, {column})" for column in OPTIONAL})
NESTED = (
    "select event_id as messageId, timestamp, user_id as userId, event_type as event, {region: region,"
    " regulation: regulation, status: status, user_age: user_age, minutes: session_duration_minutes,"
    " streams: concurrent_streams, sharing: data_shared} as properties from e"
)
PATHS = columns(
    event_id="messageId", user_id="userId", event_type="event", region="properties.region",
    regulation="properties.regulation", status="properties.status", user_age="properties.user_age",
    session_duration_minutes="properties.minutes", concurrent_streams="properties.streams",
    data_shared="properties.sharing",
)  # fmt: skip
STATUS = sql(
    "case status when 'ok' then 'compliant' when 'review' then 'warning' else 'violation' end"
)
WORDS = replaced(
    status="case status when 'compliant' then 'ok' when 'warning' then 'review' else 'breach' end"
)

# By name: the file with its content (SQL over the events `e`, or what changes the text of a CSV
# file), the settings, and what becomes of the twelve rows, or a part of the sentence.
CASES = {
    # Ids
    "UUIDs": ("x.csv", replaced(event_id="uuid()"), TEXT_IDS, ALL),
    "UUIDs without a setting": ("x.csv", replaced(event_id="uuid()"), {}, rejects(event_id_not_an_integer=12)),
    "text users": ("x.parquet", replaced(user_id="'user-' || user_id"), TEXT_IDS, ALL),
    "a device where there is no account": (
        "x.parquet", "select * replace (if(event_id > 6, null, user_id) as user_id), 7 as device from e",
        columns(user_id=sql("coalesce(user_id, device)")), ALL),
    "an expression as a name": ("x.parquet", "from e", columns(user_id="coalesce(user_id, 1)"), "SQL is written {sql: ...}"),
    "ids above 2^53": ("x.json", replaced(event_id="9007199254740993 + event_id"), {}, ALL),
    "decimal ids": ("x.parquet", replaced(event_id="event_id::decimal(38, 0)"), {}, ALL),
    "ids as floats": ("x.csv", replaced(event_id="event_id || '.0'", user_age="user_age::double"), {}, ALL),
    "ids that lost digits": ("x.csv", replaced(event_id="'1.00001E+15'"), {}, rejects(event_id_not_an_integer=12)),
    "ids of two types": ({"1.parquet": "from e where event_id < 7", "2.parquet": replaced(event_id="'e' || event_id") + " where event_id > 6"}, None, TEXT_IDS, ALL),
    "no ids": ("x.parquet", "select * exclude (event_id) from e", columns(event_id="absent"), ALL),
    # Missing values
    "nothing in half of the rows": ("x.parquet", HALF, {}, ALL),
    "what is required": ("x.parquet", HALF, {"required_columns": [*OPTIONAL]}, rejects(**{f"{column}_missing": 6 for column in OPTIONAL})),
    "nothing but what must be": ("x.parquet", "select event_id, timestamp, status from e", columns(**dict.fromkeys(OPTIONAL, "absent")), ALL),
    "null for absent": ("x.parquet", "select * exclude (user_age) from e", columns(user_age=None), ALL),
    "a column that is not there": ("x.parquet", "select * exclude (user_age) from e", {}, "lacks the column(s) user_age. It has: event_id, timestamp"),
    "no streams at a login": ("x.parquet", replaced(concurrent_streams="0"), {}, ALL),
    "nulls of pandas": ("x.csv", replaced(user_age="if(event_id > 6, 'nan', user_age || '.0')"), {}, ALL),
    "nulls of Postgres": ("x.csv", replaced(region=r"if(event_id > 6, '\N', region)"), {}, ALL),
    "no status": ("x.csv", replaced(status=r"if(event_id > 6, '\N', status)"), {}, rejects(status_missing=6)),
    "own words for null": ("x.csv", replaced(user_age="if(event_id > 6, 'k.A.', user_age::varchar)"), form(nullstr=["", "k.A."]), ALL),
    # Values that typed columns can hold
    "odd ids": ("x.parquet", odd("event_id", "0", "5.5", "null"), {}, rejects(event_id_not_an_integer=1, event_id_missing=1)),
    "odd times": ("x.parquet", odd("timestamp", "null", "'2027-01-01'", "'1999-12-31 23:59:59'", "'infinity'"), {}, rejects(timestamp_in_future=2, timestamp_missing=1, timestamp_too_early=1)),
    "odd users": ("x.parquet", odd("user_id", "1e300", "'nan'"), {}, rejects(user_id_not_an_integer=2)),
    "odd ages": ("x.parquet", odd("user_age", "-1", "100"), {}, rejects(user_age_out_of_range=1)),
    "odd durations": ("x.parquet", odd("session_duration_minutes", "-0.5", "'nan'", "'inf'", "44641.0"), {}, rejects(session_duration_minutes_not_finite=2, session_duration_minutes_negative=1, session_duration_minutes_too_long=1)),
    "odd streams": ("x.parquet", odd("concurrent_streams", "0.0", "-1", "101.0"), {}, rejects(concurrent_streams_negative=1, concurrent_streams_too_many=1)),
    "types of a file that change no other": ({"1.parquet": "from e", "2.parquet": "select * replace (16777217 as event_id, timestamp::date as timestamp, 16777216::float as user_id, {code: 'EU'} as region, true as user_age) from e limit 1"}, None, {},
        {"rows": 13, **rejects(timestamp_unreadable=1, user_id_not_an_integer=1, region_unknown=1, user_age_not_an_integer=1)}),
    # Times
    "seconds since 1970": ("x.parquet", replaced(timestamp="epoch(timestamp)::bigint"), {}, counted("seconds")),
    "seconds with fractions": ("x.json", replaced(timestamp="epoch(timestamp) + 0.5"), {}, ALL),
    "milliseconds as text": ("x.csv", replaced(timestamp="epoch_ms(timestamp)"), {}, counted("milliseconds")),
    "microseconds": ("x.parquet", replaced(timestamp="epoch_us(timestamp)"), {}, counted("microseconds")),
    "times of many forms": ("x.csv", replaced(timestamp=f"[{', '.join(FORMS)}][1 + event_id % {len(FORMS)}]"), {}, ALL),
    "days first": ("x.csv", replaced(timestamp="strftime(timestamp, '%d/%m/%Y %H:%M')"), form(timestampformat="%d/%m/%Y %H:%M"), ALL),
    "days first, untold": ("x.csv", replaced(timestamp="strftime(timestamp, '%d/%m/%Y %H:%M')"), {}, rejects(timestamp_unreadable=12)),
    "times of JavaScript": ("x.csv", replaced(timestamp="strftime(timestamp, '%a %b %d %Y %H:%M:%S GMT+0000')"), form(timestampformat="%a %b %d %Y %H:%M:%S GMT%z"), ALL),
    "a day alone": ("x.parquet", replaced(timestamp="timestamp::date"), {}, rejects(timestamp_unreadable=12)),
    "moments with a zone": ("x.parquet", replaced(timestamp="timestamp::timestamptz"), {}, ALL),
    "moments and text with an offset": ({"1.parquet": "from e where event_id < 7", "2.parquet": replaced(timestamp="timestamp || '+01:00'") + " where event_id > 6"}, None, {}, ALL),
    "times of today by default": ("x.parquet", "from e", {"latest_timestamp": "2025-12-31 00:00:00"}, rejects(timestamp_in_future=12)),
    # CSV
    "Excel in German": ("x.csv", lambda text: "\ufeff" + text.replace(",", ";").replace(".", ",").replace("\n", "\r\n"), form(decimal=","), ALL),
    "Excel's line about the separator": ("x.csv", lambda text: "sep=;\n" + text.replace(",", ";"), {}, ALL),
    "Latin-1": ("x.csv", lambda text: text.replace("event_id,", "São,event_id,", 1).replace("\n", "\né,").removesuffix("é,").replace("\né,", "\né,").encode("latin-1"), form(type="csv", encoding="latin-1"), ALL),
    "Latin-1, untold": ("x.csv", lambda text: text.replace("login", "é").encode("latin-1"), {}, "is not UTF-8"),
    "UTF-16": ("x.csv", lambda text: text.encode("utf-16"), form(type="csv", encoding="utf-16"), ALL),
    "UTF-16, untold": ("x.csv", lambda text: text.encode("utf-16"), {}, "is UTF-16, not UTF-8"),
    "tabs": ("x.tsv", lambda text: text.replace(",", "\t"), {}, ALL),
    "bars": ("x.csv", lambda text: text.replace(",", "|"), {}, ALL),
    "an index of pandas": ("x.csv", lambda text: "".join(f"{i or ''},{line}\n" for i, line in enumerate(text.splitlines())), {}, ALL),
    "blanks in the header": ("x.csv", lambda text: text.replace(",region,", ", region ,"), {}, ALL),
    "commas at the end": ("x.csv", lambda text: text.replace("\n", ",\n"), {}, ALL),
    "thousands": ("x.csv", replaced(session_duration_minutes="'1,234.5'"), form(thousands=","), ALL),
    "an empty file among others": ({"1.csv": "from e", "2.csv": b""}, None, {}, ALL),
    "a column that came later": ({"1.csv": "select * exclude (user_age) from e where event_id < 7", "2.csv": "from e where event_id > 6"}, None, {}, ALL),
    "no header": ("x.csv", lambda text: text.partition("\n")[2], {}, "has no line of names, it seems: its first line holds 11 values"),
    "no header, told": ("x.csv", lambda text: text.partition("\n")[2], form(header=False, names=["event_id", "timestamp", "user_id", "region", "regulation", "event_type", "status", "user_age", "session_duration_minutes", "concurrent_streams", "data_shared"]), ALL),
    "zip": ("x.zip", lambda text: b"PK\x03\x04" + bytes(9), {}, "x.zip is a zip archive"),
    "gzip by another name": ("x.csv", lambda text: gzip.compress(text.encode(), mtime=0), {}, "x.csv is packed with gzip"),
    "no ending": ("part-00000", lambda text: text, {}, "ends in none of parquet,"),
    "no ending, told": ("part-00000", lambda text: text, {"events_format": "csv"}, ALL),
    # JSON
    "an array": ("x.json", "array", {}, ALL),
    "objects in objects": ("x.ndjson", NESTED, PATHS, ALL),
    "objects in a column of Parquet": ("x.parquet", NESTED, PATHS, ALL),
    "a wrapper": ("x.json", lambda text: '{"events": [{"event_id": 1}]}', {}, "It has: events."),
    "a wrapper, unpacked": ("x.json", lambda text: json.dumps({"events": [dict(row) for row in csv.DictReader(io.StringIO(text))]}), {"events_source": sql("select unnest(events, recursive := true) from read_json('x.json')")}, ALL),
    "JSON as text": ("x.json", lambda text: "".join(json.dumps({"value": json.dumps(row)}) + "\n" for row in csv.DictReader(io.StringIO(text))), {}, "It has: value."),
    "numbers as 5.0 and 1e2": ("x.json", lambda text: "".join(json.dumps(row).replace('"user_id": "1001"', '"user_id": 1.001e3') + "\n" for row in csv.DictReader(io.StringIO(text))), {}, ALL),
    "a key that comes late": ({f"{i:03}.json": f"select * {'exclude (user_age)' if i < 50 else ''} from e where event_id = {1 + i % 12}" for i in range(60)}, None, {"repeated_events": {"keep": "latest"}}, {"rejected": 0, "rows": 60}),
    "nothing but an empty file": ("x.json", lambda text: "", {}, "holds no JSON objects with keys, or none yet"),
    "an object where a word should be": ("x.json", replaced(region="{code: region}"), {}, rejects(region_unknown=12)),
    "a word within an object": ("x.json", replaced(region="{code: region}"), columns(region="region.code"), ALL),
    # Parquet and folders
    "folders that name a column": ({"region=EU/x.parquet": "select * exclude (region) from e where region = 'EU'", "region=US/x.parquet": "select * exclude (region) from e where region = 'US'"}, None, {}, {"rejected": 0, "rows": 8}),
    "folders that name nothing new": ({"year=2026/x.parquet": "from e"}, None, {}, ALL),
    "a folder": ({"in/a.parquet": "from e where event_id < 7", "in/b.parquet": "from e where event_id > 6", "in/_SUCCESS": b""}, None, {"events_source": "in"}, ALL),
    "a list": ({"a.parquet": "from e where event_id < 7", "b.csv": "from e where event_id > 6"}, None, {"events_source": ["*.parquet", "*.csv"]}, ALL),
    "words of an enum": ("x.parquet", replaced(status="status::enum('compliant', 'violation', 'warning')"), {}, ALL),
    "yes and no": ("x.parquet", replaced(data_shared="event_id > 6"), columns(data_shared=sql("if(data_shared, 'full', 'none')")), ALL),
    "yes and no, untold": ("x.parquet", replaced(data_shared="event_id > 6"), {}, rejects(data_shared_unknown=12)),
    "events of Google": ("x.parquet", "select event_id, epoch_us(timestamp) as event_timestamp, event_type as event_name, user_id::varchar as user_pseudo_id, null::varchar as user_id, [{key: 'status', value: {string_value: status, int_value: 1}}] as event_params from e",
        {"events_preset": "ga4", **columns(status=sql("list_filter(event_params, lambda p: p.key = 'status')[1].value.string_value"))}, ALL),
    # Vendors, each in the schema that it documents
    **{vendor: ("x.json", "select 'api-' || event_id as messageId, strftime(timestamp, '%Y-%m-%dT%H:%M:%S.%gZ') as timestamp, if(event_id > 6, 'u' || user_id, null) as userId, uuid() as anonymousId, 'track' as type, event_type as event, {outcome: status} as properties from e",
        {"events_preset": vendor, **columns(status="properties.outcome")}, ALL) for vendor in ("segment", "rudderstack")},
    "snowplow": ("x.tsv", lambda text: "\n".join("\t".join(row) for row in [["event_id", "derived_tstamp", "event_name", "user_id", "domain_userid", "se_label"]] + [[f"e-{row['event_id']}", row["timestamp"] + ".250", row["event_type"], "", f"d-{row['user_id']}", row["status"]] for row in csv.DictReader(io.StringIO(text))]) + "\n",
        {"events_preset": "snowplow", **columns(status="se_label")}, ALL),
    "mixpanel": ("x.jsonl", "select event_type as event, {time: epoch(timestamp)::bigint, distinct_id: 'u' || user_id, '$insert_id': uuid(), outcome: status} as properties from e",
        {"events_preset": "mixpanel", **columns(status="properties.outcome")}, ALL),
    "amplitude": ("x.json", "select uuid() as uuid, strftime(timestamp, '%Y-%m-%d %H:%M:%S.%f') as event_time, if(event_id > 6, 'u', null) as user_id, 100 + user_id as amplitude_id, event_type, {outcome: status} as event_properties from e",
        {"events_preset": "amplitude", **columns(status="event_properties.outcome")}, ALL),
    "mux": ("x.csv", "select uuid() as view_id, strftime(timestamp, '%Y-%m-%d %H:%M:%S.000000000') as view_start, 'u' || user_id as viewer_user_id, 60000 * event_id as watch_time, status as custom_1 from e",
        {"events_preset": "mux", **columns(status="custom_1")}, ALL),
    "debezium": ("x.json", "select {op: if(event_id < 7, 'c', 'u'), ts_ms: event_id, after: e} as payload from e union all select {op: 'd', ts_ms: 99, after: e} from e",
        {"events_source": sql("select unnest(payload.after), payload.ts_ms from read_json('x.json') where payload.op <> 'd'"), "repeated_events": {"keep": "latest", "by": "ts_ms"}}, ALL),
    "airbyte": ("x.json", "select uuid() as _airbyte_raw_id, to_json(e)::varchar as _airbyte_data from e",
        columns(**{c: sql(f"_airbyte_data->>'$.{c}'") for c in ("event_id", "timestamp", "status", *OPTIONAL)}), ALL),
    "no such file in a list": ("x.parquet", "from e", {"events_source": ["x.parquet", "b.csv"]}, "/b.csv', which the var events_source names"),
    "a field of another column": ("x.parquet", "select {region: region} as place, * exclude (region) from e", {}, "x.parquet lacks the column(s) region. It has: place, event_id,"),
    "no such column of an event": ("x.parquet", "from e", columns(time="timestamp"), "The var events_columns names time, which is no column of an event."),
    "no such way to keep": ("x.parquet", "from e", {"repeated_events": {"keep": "newest"}}, "The var repeated_events is newest. It can be reject, latest, first."),
    "no such type of ids": ("x.parquet", "from e", {"event_id_type": "uuid"}, "The var event_id_type is uuid. It can be bigint, varchar."),
    "no such column of identity": ("x.parquet", "from e", {"events_identity": ["nobody"]}, "The var events_identity names nobody"),
    "no such zone": ("x.parquet", "from e", {"events_time_zone": "Europe/Berlim"}, "The var events_time_zone is Europe/Berlim"),
    "a further dimension by a word of SQL": ("x.parquet", "from e", {"events_dimensions": {"order": "region"}}, "The var events_dimensions names order"),
    "no such preset": ("x.json", "from e", {"events_preset": "acme"}, "The var events_preset is acme. It can be none, segment"),
    "an empty Parquet file": ({"1.parquet": "from e", "2.parquet": b""}, None, {}, "2.parquet cannot be read: it is no whole Parquet file"),
    "bytes": ("x.parquet", replaced(region="region::blob"), {}, ALL),
    "an interval": ("x.parquet", replaced(session_duration_minutes="to_minutes(5)"), {}, rejects(session_duration_minutes_not_a_number=12)),
    "an interval in minutes": ("x.parquet", replaced(session_duration_minutes="to_minutes(5)"), columns(session_duration_minutes=sql("epoch(session_duration_minutes) / 60")), ALL),
    "a table of Delta": ({"x.parquet": "from e", "_delta_log/0.json": b"{}"}, None, {}, "is a table of Delta"),
    # Words
    "own words": ("x.parquet", WORDS, columns(status=STATUS), ALL),
    "own words, untold": ("x.parquet", WORDS, {}, rejects(status_unknown=12)),
    "several laws": ("x.parquet", replaced(regulation="['GDPR', 'CCPA']"), {}, rejects(regulation_unknown=12)),
    "each of several laws": ("x.parquet", replaced(regulation="['GDPR', 'CCPA']"), {"events_source": sql("select * replace (unnest(regulation) as regulation) from 'x.parquet'"), "events_identity": ["event_id", "regulation"]}, {"rejected": 0, "rows": 24}),
    "further dimensions": ("x.parquet", "select *, 'tv' as device from e", {"events_dimensions": {"device": "device", "kind": sql("upper(device)")}}, ALL),
    "a further dimension by a taken name": ("x.parquet", "from e", {"events_dimensions": {"region": "region"}}, "The var events_dimensions names region"),
    "SQL that does not fit": ("x.parquet", "from e", columns(status=sql("lower(outcome)")), "The SQL of status in the vars does not fit the source"),
    "SQL that is none": ("x.parquet", "from e", columns(status=sql("lower(")), "The SQL of status in the vars cannot be read"),
    "rows by the way": ("x.csv", "from e", form(ignore_errors=True), "by which rows get lost"),
}  # fmt: skip


def write(folder, files: dict) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create view e as {EVENTS}")
        text = connection.sql("from e").df().to_csv(index=False)
        for file, content in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            if content == "array":
                connection.execute(f"copy e to '{path}' (format json, array true)")
            elif isinstance(content, str):
                connection.execute(f"copy ({content}) to '{path}'")
            else:
                content = content(text) if callable(content) else content
                path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    environment, folder, modules = dict(os.environ), os.getcwd(), [*sys.path]
    with Judge() as judge:
        yield judge
    # dbt adds the folder of the scripts, which others must not find there.
    sys.path[:] = modules
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)


@pytest.mark.parametrize("case", CASES)
def test_an_export_is_read_or_told(judge, tmp_path, monkeypatch, case):
    files, content, settings, expected = CASES[case]
    files = files if isinstance(files, dict) else {files: content}
    write(tmp_path, files)
    source = settings.get("events_source", next(iter(files)) if len(files) == 1 else "**/*")
    if isinstance(source, dict):
        source = {"sql": source["sql"].replace("x.", f"{tmp_path}/x.")}
    elif isinstance(source, list):
        source = [f"{tmp_path}/{path}" for path in source]
    else:
        source = f"{tmp_path}/{source}"
    settings = {**LIVE, **settings, "events_source": source}
    if isinstance(expected, str):
        with pytest.raises(OttError) as error:
            judge(settings)
        assert expected in str(error.value)
        assert "Traceback" not in str(error.value)
        return
    found = judge(settings)
    assert found["rows"] == expected.get("rows", 12)
    assert found["reasons"] == expected.get("reasons", {})
    assert found["notes"] == expected.get("notes", found["notes"])


def test_a_sample_is_judged_like_the_rows_of_a_build(judge, tmp_path):
    """What a build makes of such events is held by test_dirty_events.py."""
    events = tmp_path / "dirty.csv"
    dirty = ("--scenario", "dirty", "--defect-rate", "0.2")
    assert cli.main(["generate", *dirty, "--output", str(events)]) == 0
    rejected = json.loads(events.with_suffix(".truth.json").read_text())["rejections"]
    found = judge({"events_source": str(events)})["reasons"]
    # A sample tells nothing of other rows, and in files the `nan` of pandas is no value.
    del rejected["event_id_conflicting"]
    rejected["session_duration_minutes_not_finite"] = found["session_duration_minutes_not_finite"]
    assert len(rejected) > 20
    assert found == rejected


def test_a_platform_without_all_that_may_be_absent_is_published(new_project):
    """One that has more, and other types, is in test_build.py."""
    project = new_project("meagre")
    write(project.root, {"x.parquet": "from e"})
    absent = columns(**dict.fromkeys(OPTIONAL, "absent"))
    result = project.build("--vars", json.dumps({**LIVE, "events_source": "x.parquet", **absent}))
    assert result.returncode == 0, result.stdout
    assert "Published" in result.stdout
