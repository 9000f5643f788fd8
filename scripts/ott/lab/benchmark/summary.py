"""Ratios, goals and Markdown from the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from ott.lab.benchmark.engines import STEPS

Run = dict
# The input with next to no events, beside the sizes.
SAMPLE = 0
GOAL_EVENTS = 10_000_000
LARGE_EVENTS = 100_000_000


class Runs:
    """The runs that ended well, by step, size and round."""

    def __init__(self, runs: Iterable[Run]) -> None:
        """Take runs as the JSON file holds them."""
        self.all = list(runs)
        self.good = {
            (run["step"], run["events"], run["round"]): run
            for run in self.all
            if run["problem"] is None
        }

    def values(self, step: str, events: int, figure: Callable[[Run], float]) -> list[float]:
        """Return a figure of every good run of a step."""
        return [
            figure(run)
            for (its_step, its_events, _), run in self.good.items()
            if (its_step, its_events) == (step, events)
        ]

    def ratios(
        self, above: str, below: str, events: int, figure: Callable[[Run, Run], float]
    ) -> list[float]:
        """Return the ratios of two steps, a ratio a round.

        `figure` takes a run and that of the same step and round with next to no events.
        """
        found = []
        for (step, its_events, number), run in self.good.items():
            keys = (
                (below, events, number),
                (above, SAMPLE, number),
                (below, SAMPLE, number),
            )
            if (step, its_events) != (above, events) or any(key not in self.good for key in keys):
                continue
            other, sample, other_sample = (self.good[key] for key in keys)
            denominator = figure(other, other_sample)
            if denominator > 0:
                found.append(figure(run, sample) / denominator)
        return found


def seconds(run: Run) -> float:
    """Return the wall time."""
    return run["seconds"]


def unpublished_seconds(run: Run) -> float:
    """Return the wall time less that of publishing."""
    return run["seconds"] - run["details"].get("publishing_seconds", 0.0)


def as_measured(run: Run, sample: Run) -> float:
    """Return the wall time."""
    return seconds(run)


def without_publishing(run: Run, sample: Run) -> float:
    """Return the wall time less that of publishing."""
    return unpublished_seconds(run)


def without_fixed_cost(run: Run, sample: Run) -> float:
    """Return the wall time less publishing, and less the same on next to no events."""
    return unpublished_seconds(run) - unpublished_seconds(sample)


def peak(run: Run, sample: Run) -> float:
    """Return the peak memory."""
    return run["peak_bytes"]


# --- goals ---------------------------------------------------------------------------------------

# What is compared, how, whether the ratio must be at most or at least so much (None: only shown).
COMPARISONS = (
    ("time, (b) to (c)", "dbt-no-tests", "sql", "as measured", as_measured, None),
    (
        "time, (b) to (c)",
        "dbt-no-tests",
        "sql",
        "fixed costs off both",
        without_fixed_cost,
        ("at most", 1.3),
    ),
    ("time, (d) to (a)", "pandas", "dbt", "as measured", as_measured, ("at least", 3.0)),
    ("time, (d) to (a)", "pandas", "dbt", "publishing off", without_publishing, None),
    (
        "time, (d) to (a)",
        "pandas",
        "dbt",
        "fixed costs and publishing off both",
        without_fixed_cost,
        None,
    ),
    ("memory, (a) to (d)", "dbt", "pandas", "peak", peak, ("at most", 1 / 3)),
    ("time, (d) to (b)", "pandas", "dbt-no-tests", "as measured", as_measured, None),
    ("time, (e) to (b)", "polars", "dbt-no-tests", "as measured", as_measured, None),
    ("time, (f) to (b)", "spark", "dbt-no-tests", "as measured", as_measured, None),
    (
        "time, one day more to full build, with tests",
        "dbt-one-day",
        "dbt",
        "as measured",
        as_measured,
        ("at most", 0.1),
    ),
    (
        "time, one day more to full build, with tests",
        "dbt-one-day",
        "dbt",
        "fixed costs and publishing off both",
        without_fixed_cost,
        ("at most", 0.1),
    ),
    (
        "time, one day more to full build, without tests",
        "dbt-no-tests-one-day",
        "dbt-no-tests",
        "as measured",
        as_measured,
        ("at most", 0.1),
    ),
    (
        "time, one day more to full build, without tests",
        "dbt-no-tests-one-day",
        "dbt-no-tests",
        "fixed costs off both",
        without_fixed_cost,
        ("at most", 0.1),
    ),
)


def comparisons(runs: Runs, sizes: Sequence[int]) -> list[dict[str, object]]:
    """Return every comparison at every size, with whether its goal is kept.

    A goal is set at `GOAL_EVENTS`; at other sizes the ratio is shown without a judgement.
    """
    rows = []
    for events in sizes:
        for name, above, below, how, figure, goal in COMPARISONS:
            ratios = runs.ratios(above, below, events, figure)
            if not ratios:
                continue
            ratio = median(ratios)
            is_kept = None
            if goal and events == GOAL_EVENTS:
                is_kept = ratio <= goal[1] if goal[0] == "at most" else ratio >= goal[1]
            rows.append(
                {
                    "comparison": name,
                    "how": how,
                    "events": events,
                    "ratio": ratio,
                    "least": min(ratios),
                    "most": max(ratios),
                    "goal": f"{goal[0]} {goal[1]:.2g}" if is_kept is not None else None,
                    "is_kept": is_kept,
                }
            )
    return rows


def large_builds(runs: Runs) -> list[dict[str, object]]:
    """Return whether the builds of `LARGE_EVENTS` within a memory limit succeeded."""
    return [
        {"step": run["step"], "memory_limit": run["memory_limit"], "is_kept": not run["problem"]}
        for run in runs.all
        if run["events"] >= LARGE_EVENTS and run["step"] == "dbt" and run["memory_limit"]
    ]


def start_up(runs: Runs) -> dict[str, float]:
    """Return the costs of dbt that do not hang on the events: medians in seconds."""
    figures = {
        step: median(found)
        for step in ("parse-anew", "parse", "dbt", "dbt-no-tests", "sql", "pandas", "polars")
        if (found := runs.values(step, SAMPLE, unpublished_seconds))
    }
    for step in ("dbt", "dbt-no-tests"):
        nodes = runs.values(step, SAMPLE, lambda run: run["details"]["nodes"])
        if nodes and "parse" in figures:
            figures[f"{step} nodes"] = median(nodes)
            figures[f"{step} per node"] = (figures[step] - figures["parse"]) / median(nodes)
    return figures


def summarize(result: dict) -> dict[str, object]:
    """Return what follows from the runs, to stand beside them in the JSON file."""
    runs = Runs(result["runs"])
    return {
        "comparisons": comparisons(runs, result["sizes"]),
        "large_builds": large_builds(runs),
        "start_up": start_up(runs),
    }


# --- Markdown ------------------------------------------------------------------------------------


def size_text(events: int) -> str:
    """Return a number of events as people write it."""
    for unit, factor in (("M", 1_000_000), ("k", 1000)):
        if events >= factor and events % factor == 0:
            return f"{events // factor}{unit}"
    return str(events)


def as_markdown(result: dict) -> str:
    """Return all tables."""
    runs = Runs(result["runs"])
    summary = result["summary"]
    lines = [_machine(result), ""]
    for events in result["sizes"]:
        lines += [*_size_table(runs, events, result), ""]
    if summary["start_up"]:
        lines += [*_start_up_table(summary["start_up"]), ""]
    if summary["comparisons"] or summary["large_builds"]:
        lines += [*_goal_table(summary), ""]
    for run in runs.all:
        if run["problem"]:
            where = size_text(run["events"]) if run["events"] else "next to no"
            lines += [f"Failed: {run['step']}, {where} events, round {run['round']}:", ""]
            lines += [f"    {line}" for line in run["problem"].splitlines()] + [""]
    return "\n".join(lines).rstrip() + "\n"


def _machine(result: dict) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{result['started_at'][:10]}, {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory, {machine['system']}; {versions}; "
        f"commit {machine['commit']}. Medians of {result['arguments']['repeat']} rounds, least "
        "and most in brackets. Memory is the largest sum over the process tree; pages that "
        "processes share count in each."
    )


def _interval(values: Sequence[float], scale: float = 1, digits: int = 1) -> str:
    if not values:
        return ""
    texts = [f"{value / scale:,.{digits}f}" for value in (median(values), min(values), max(values))]
    return texts[0] if len(values) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"


def _size_table(runs: Runs, events: int, result: dict) -> list[str]:
    steps = [
        step
        for step in STEPS
        if any((run["step"], run["events"]) == (step, events) for run in runs.all)
    ]
    limit = result["arguments"]["memory_limit"]
    about = result["inputs"][str(events)]
    title = (
        f"{size_text(events)} events: {about['rows']:,} rows of {about['users']:,} users in "
        f"{about['bytes'] / 1e6:,.0f} MB of Parquet; {about['next_rows']:,} rows the day after"
        + (f"; memory limit of DuckDB {limit}" if limit else "")
    )
    rows = []
    for step in steps:
        has_published = any(
            run["details"].get("is_published") for key, run in runs.good.items() if key[0] == step
        )
        publishing = runs.values(
            step, events, lambda run: run["details"].get("publishing_seconds", 0.0)
        )
        rows.append(
            [
                STEPS[step],
                _interval(runs.values(step, events, seconds)) or "failed",
                _interval(publishing) if has_published else "",
                _interval(runs.values(step, events, lambda run: run["peak_bytes"]), 1e9, 2),
            ]
        )
    header = ("What", "Seconds", "of them publishing", "Peak memory, GB")
    return [title, "", *_table(header, rows)]


def _start_up_table(figures: dict[str, float]) -> list[str]:
    titles = {
        "parse-anew": STEPS["parse-anew"],
        "parse": STEPS["parse"],
        "dbt": "(a) on next to no events, without publishing",
        "dbt-no-tests": "(b) on next to no events",
        "sql": "(c) on next to no events",
        "pandas": "(d) on next to no events",
        "polars": "(e) on next to no events",
    }
    rows = [[titles[name], f"{figures[name]:.1f} s"] for name in titles if name in figures]
    for step, letter in (("dbt", "a"), ("dbt-no-tests", "b")):
        if f"{step} nodes" in figures:
            nodes, each = figures[f"{step} nodes"], figures[f"{step} per node"]
            rows.append(
                [f"({letter}) less start-up, per node", f"{1000 * each:.0f} ms x {nodes:.0f}"]
            )
    return ["What it costs whatever the number of events:", "", *_table(("What", "Median"), rows)]


def _goal_table(summary: dict) -> list[str]:
    rows = []
    for row in summary["comparisons"]:
        ratio = f"{row['ratio']:.2f}"
        if row["least"] != row["most"]:
            ratio += f" ({row['least']:.2f} to {row['most']:.2f})"
        judged = {None: "", True: "kept", False: "missed"}[row["is_kept"]]
        rows.append(
            [
                row["comparison"],
                row["how"],
                size_text(row["events"]),
                ratio,
                row["goal"] or "",
                judged,
            ]
        )
    for build in summary["large_builds"]:
        rows.append(
            [
                "(a) succeeds",
                f"memory limit {build['memory_limit']}",
                size_text(LARGE_EVENTS),
                "",
                "",
                "kept" if build["is_kept"] else "missed",
            ]
        )
    title = f"Ratios. Goals are set at {size_text(GOAL_EVENTS)} events:"
    return [title, "", *_table(("Compared", "How", "Events", "Ratio", "Goal", ""), rows)]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
