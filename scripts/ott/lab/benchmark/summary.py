"""What follows from the runs: medians, ratios and goals, as data and as Markdown."""

from collections.abc import Sequence

import pandas as pd

from ott.lab import markdown_table
from ott.lab.benchmark.engines import STEPS

# The input with next to no events, beside the sizes.
SAMPLE = 0
GOAL_EVENTS = 10_000_000
WORK = ("work", "seconds", "cpu_seconds", "cpu_work")
WHOLE = ("seconds", "cpu_seconds")
# Of two steps: the share of the first in the second, in what, and the goal at `GOAL_EVENTS` of the
# first of these. Work is less what a build costs without events, and less publishing.
COMPARISONS = (
    ("(b) to (c)", "dbt-no-tests", "sql", WORK, ("at most", 1.3)),
    ("(d) to (a)", "pandas", "dbt", WHOLE, ("at least", 3.0)),
    ("(a) to (d)", "dbt", "pandas", ("peak_bytes",), ("at most", 0.33)),
    ("one day more to (a)", "dbt-one-day", "dbt", WORK, ("at most", 0.1)),
    ("one day more to (b)", "dbt-no-tests-one-day", "dbt-no-tests", WORK, ("at most", 0.1)),
)
# In the order in which they are shown.
MEASURES = {
    "seconds": "wall time",
    "work": "wall time less fixed costs",
    "cpu_seconds": "CPU time",
    "cpu_work": "CPU time less fixed costs",
    "peak_bytes": "memory",
}


def good_runs(result: dict) -> pd.DataFrame:
    """Return a row a run that ended well, indexed by events, round and step.

    `work` and `cpu_work` are its times in seconds less publishing and less those of the same step
    and round with next to no events; nan where there is none. Of CPU time, publishing is a part.
    """
    rows = [run | run["details"] for run in result["runs"] if run["problem"] is None]
    columns = ["events", "round", "step", *MEASURES, "publishing_seconds", "nodes"]
    runs = pd.DataFrame(rows).reindex(columns=columns)
    runs["unpublished"] = runs["seconds"] - runs["publishing_seconds"].fillna(0)
    samples = runs[runs["events"] == SAMPLE].set_index(["round", "step"])
    fixed = samples[["unpublished", "cpu_seconds"]].add_prefix("fixed_")
    runs = runs.join(fixed, on=["round", "step"]).set_index(["events", "round", "step"])
    runs["work"] = runs["unpublished"] - runs["fixed_unpublished"]
    runs["cpu_work"] = runs["cpu_seconds"] - runs["fixed_cpu_seconds"]
    return runs


def comparisons(result: dict) -> list[dict[str, object]]:
    """Return every ratio of two steps at every size: medians over the rounds.

    CPU time stands beside wall time, as other work on the machine changes it less.
    """
    runs, found = good_runs(result), []
    for events in result["sizes"]:
        for name, above, below, measures, (direction, limit) in COMPARISONS:
            for measure in (measure for measure in MEASURES if measure in measures):
                by_step = runs[measure].unstack("step").reindex(columns=[above, below])
                by_step = by_step.query("events == @events")
                ratios = (by_step[above] / by_step[below].where(by_step[below] > 0)).dropna()
                if ratios.empty:
                    continue
                ratio, least, most = map(float, (ratios.median(), ratios.min(), ratios.max()))
                row = {"comparison": name, "of": MEASURES[measure], "events": events}
                row |= {"ratio": ratio, "least": least, "most": most, "goal": None, "is_kept": None}
                if events == GOAL_EVENTS and measure == measures[0]:
                    row["goal"] = f"{direction} {limit:.2g}"
                    row["is_kept"] = ratio <= limit if direction == "at most" else ratio >= limit
                found.append(row)
    return found


def start_up(result: dict) -> dict[str, float]:
    """Return what each step takes whatever the events: medians in seconds, less publishing."""
    samples = good_runs(result).query("events == @SAMPLE").groupby("step")
    medians = samples[["unpublished", "nodes"]].median()
    seconds = medians["unpublished"]
    figures = {step: float(seconds[step]) for step in STEPS if step in seconds.index}
    for step in ("dbt", "dbt-no-tests"):
        if {step, "parse"} <= figures.keys() and medians.at[step, "nodes"] > 0:
            nodes = figures[f"{step} nodes"] = float(medians.at[step, "nodes"])
            figures[f"{step} per node"] = (figures[step] - figures["parse"]) / nodes
    return figures


def summarize(result: dict) -> dict[str, object]:
    """Return what follows from the runs, to stand beside them in the JSON file."""
    return {"comparisons": comparisons(result), "start_up": start_up(result)}


def size_text(events: int) -> str:
    """Return a number of events as people write it."""
    for unit, factor in (("M", 1_000_000), ("k", 1000)):
        if events >= factor and events % factor == 0:
            return f"{events // factor}{unit}"
    return str(events)


def as_markdown(result: dict) -> str:
    """Return all tables, and the last words of what failed."""
    summary = result["summary"]
    parts = [_machine(result)]
    parts += [_size_table(events, result) for events in result["sizes"]]
    if summary["start_up"]:
        parts.append(_start_up_table(summary["start_up"]))
    if summary["comparisons"]:
        parts.append(_ratio_table(summary["comparisons"]))
    for run in result["runs"]:
        if run["problem"]:
            where = size_text(run["events"]) if run["events"] else "next to no"
            words = "\n".join(f"    {line}" for line in run["problem"].splitlines())
            parts.append(f"Failed: {run['step']}, {where} events, round {run['round']}:\n\n{words}")
    return "\n\n".join(parts) + "\n"


def _machine(result: dict) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{result['started_at'][:10]}, {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory, {machine['system']}; {versions}; "
        f"commit {machine['commit']}. Medians of {result['arguments']['repeat']} rounds, least "
        "and most in brackets. CPU time is that of user and system. Memory is the largest sum over "
        "the process tree; pages that processes share count in each."
    )


def _spread(values: pd.Series, digits: int) -> str:
    values = values.dropna()
    if values.empty:
        return ""
    texts = [f"{value:,.{digits}f}" for value in (values.median(), values.min(), values.max())]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _size_table(events: int, result: dict) -> str:
    limit = result["arguments"]["memory_limit"]
    about = result["inputs"][str(events)]
    title = (
        f"{size_text(events)} events: {about['rows']:,} rows of {about['users']:,} users in "
        f"{about['bytes'] / 1e6:,.0f} MB of Parquet; {about['next_rows']:,} rows the day after"
        + (f"; memory limit of DuckDB {limit}" if limit else "")
    )
    runs = good_runs(result)
    tried = {run["step"] for run in result["runs"] if run["events"] == events}
    rows = []
    for step in (step for step in STEPS if step in tried):
        its = runs.query("events == @events and step == @step")
        published = its["publishing_seconds"].where(its["publishing_seconds"] > 0.05)
        seconds = [_spread(times, 1) for times in (its["seconds"], its["cpu_seconds"], published)]
        seconds[0] = seconds[0] or "failed"
        rows.append([STEPS[step], *seconds, _spread(its["peak_bytes"] / 1e9, 2)])
    header = ("What", "Seconds", "CPU seconds", "of them publishing", "Peak memory, GB")
    return f"{title}\n\n{markdown_table(header, rows)}"


def _start_up_table(figures: dict[str, float]) -> str:
    rows = [[STEPS[step], f"{figures[step]:.1f} s"] for step in STEPS if step in figures]
    for step, letter in (("dbt", "a"), ("dbt-no-tests", "b")):
        if f"{step} nodes" in figures:
            nodes, each = figures[f"{step} nodes"], figures[f"{step} per node"]
            spent = f"{1000 * each:.0f} ms x {nodes:.0f}"
            rows.append([f"({letter}) less parsing, per node", spent])
    title = "What it costs whatever the number of events, without publishing:"
    return f"{title}\n\n{markdown_table(('What', 'Median'), rows)}"


def _ratio_table(comparisons: Sequence[dict]) -> str:
    rows = []
    for row in comparisons:
        ratio = f"{row['ratio']:.2f}"
        if row["least"] != row["most"]:
            ratio += f" ({row['least']:.2f} to {row['most']:.2f})"
        judged = {None: "", True: "kept", False: "missed"}[row["is_kept"]]
        compared = [row["comparison"], row["of"], size_text(row["events"])]
        rows.append([*compared, ratio, row["goal"] or "", judged])
    title = f"Ratios. Goals are set at {size_text(GOAL_EVENTS)} events:"
    return f"{title}\n\n{markdown_table(('Compared', 'Of', 'Events', 'Ratio', 'Goal', ''), rows)}"
