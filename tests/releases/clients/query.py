"""Ask a release the queries of stdin, with the DuckDB that PYTHONPATH names; print JSON."""

import json
import sys

import duckdb


def plain(file: str, queries: list[str]) -> list[list]:
    with duckdb.connect(file, read_only=True) as connection:
        return [connection.execute(query).fetchall() for query in queries]


def sqlalchemy(file: str, queries: list[str]) -> list[list]:
    from sqlalchemy import create_engine, text

    engine = create_engine(f"duckdb:///{file}", connect_args={"read_only": True})
    with engine.connect() as connection:
        return [list(map(tuple, connection.execute(text(query)).all())) for query in queries]


def main() -> None:
    ask = {"plain": plain, "sqlalchemy": sqlalchemy}[sys.argv[1]]
    *queries, forbidden = json.load(sys.stdin)
    answers = ask(sys.argv[2], queries)
    try:
        ask(sys.argv[2], [forbidden])
        refusal = None
    except Exception as error:
        refusal = str(error)
    result = {"version": duckdb.__version__, "answers": answers, "refusal": refusal}
    json.dump(result, sys.stdout, default=str)


main()
