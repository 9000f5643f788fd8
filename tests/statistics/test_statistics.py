"""Every statistics macro against scipy, statsmodels and exact sums.

They run over grids of arguments, extremes included, in one dbt run.
"""

import math
import shutil
from collections.abc import Callable
from inspect import signature
from itertools import product

import mpmath
import numpy as np
import pandas as pd
import pytest
from mpmath import mpf
from oracle.sentences import percent, points
from oracle.tables import adjusted, shrunk
from scipy import special, stats

TOLERANCE = 1e-9
# Below this, doubles begin to lose digits, and a probability may as well be zero.
SMALLEST = 1e-300

# The vars: a twentieth for all looks, which is a tenth of that for one.
LEVEL, MINIMUM_EFFECT, MINIMUM_EXPECTED = 0.05 / 10, 0.005, 5


def assert_agree(actual, expected, tolerance, where):
    """Fail unless all numbers agree to a relative error; null agrees with nan, and only with it."""
    actual, expected = (np.asarray(column, float) for column in (actual, expected))
    assert len(actual) == len(expected) > 0
    agree = np.isclose(actual, expected, rtol=tolerance, atol=SMALLEST, equal_nan=True)
    wrong = where.assign(actual=actual, expected=expected)[~agree]
    assert wrong.empty, f"{len(wrong)} of {len(where)} differ:\n{wrong.head()}"


# --- References with 50 digits, where doubles do not do ------------------------------------------


def exactly(function: Callable[..., mpf]) -> Callable[..., np.ndarray]:
    """Apply a function of exact numbers to doubles, one after another, with 50 digits."""

    def apply(*columns):
        rows = np.stack(np.broadcast_arrays(*columns), axis=-1).astype(float).tolist()
        with mpmath.workdps(50):
            return np.array([float(function(*map(mpf, row))) for row in rows])

    return apply


@exactly
def exact_deviance(x, mean):
    # It is mean where x is 0.
    return (x * mpmath.log(x / mean) if x else 0) + mean - x


@exactly
def exact_wilson(k, n, z, side):
    """Solve (k / n - rate)^2 = z^2 rate (1 - rate) / n for the rate."""
    half_width = z * mpmath.sqrt(k * (n - k) / n + z * z / 4)
    # Fifty digits are not enough to cancel to zero.
    return 0 if k == 0 and side < 0 else (k + z * z / 2 + side * half_width) / (n + z * z)


# --- Grids of arguments --------------------------------------------------------------------------


def table(columns: str, rows) -> pd.DataFrame:
    """A grid, each combination once."""
    return pd.DataFrame(rows, columns=columns.split()).drop_duplicates(ignore_index=True)


def around(*numbers: float, low: float, high: float) -> list[float]:
    """The whole numbers nearest to some, within limits, and the limits."""
    near = {math.floor(number) + step for number in numbers for step in (-1, 0, 1, 2)}
    return sorted({float(min(max(number, low), high)) for number in {*near, low, high}})


TAILS = 10.0 ** -np.arange(1, 301)
MEANS = (1e-8, 0.01, 0.5, 1.0, 3.0, 10.0, 15.5, 30.0, 100.0, 500.0, 16000.0, 1e9)
DEVIANCES = table(
    "x mean",
    [
        (x, mean)
        for mean in (1e-8, 0.01, 0.5, 1.0, 3.0, 15.5, 100.0, 16000.0, 1e9)
        for x in [
            *(0.0, 0.5, 1.0, 7.5, 16384.0),
            *np.multiply(mean, (0.5, 0.81, 0.82, 0.999999, 1, 1.23)),
            *around(mean, mean + 9 * math.sqrt(mean), low=0.0, high=1e10),
        ]
    ],
)

# Tails down to the last that is a number, of few degrees of freedom and of many, whole or not. The
# last have no degree of freedom or no statistic: no p-value.
PROBABILITIES = (1 - 1e-9, 0.99, 0.5, 0.05, 1e-5, 1e-20, 1e-100, 1e-290)
DEGREES = (1, 1.5, 2.7, 5, 28, 1000, 1e5, 1e9)
F_TAILS = table(
    "f degrees_of_freedom denominator_degrees",
    [
        *(
            (f, df, denominator)
            for df, denominator in product((1, 2, 5, 999), DEGREES)
            for f in (0.0, 1e-12, 0.5, 1.0, *stats.f.isf(PROBABILITIES, df, denominator))
            if np.isfinite(f) and f < 1e30
        ),
        *((np.nan, 1, 5), (1, 1, np.nan), (1, np.nan, 5)),
    ],
)
CHI_SQUARE = table(
    "chi_square degrees_of_freedom",
    [
        *(
            (chi_square, df)
            for df in (*range(1, 32), 100, 730, 5000)
            for chi_square in (0.0, 1e-12, 0.5, 1.0, df, *stats.chi2.isf(PROBABILITIES, df))
        ),
        *((0.0, 0), (1.0, 0), (np.nan, 1)),
    ],
)


def outcomes():
    """Successes of trials at a rate, as many as are independent of those that are dependent."""
    trials = (1.0, 2.0, 17.0, 100.0, 1000.0, 1e5, 1e9)
    for n, rate, dispersion in product(trials, (1e-9, 0.01, 0.0554, 0.5, 0.999), (1, 1.5, 7, 50)):
        sd = math.sqrt(n * rate * (1 - rate))
        centers = [n * rate, n * rate + 5 * sd, n * rate - 5 * sd, n * rate + 30 * sd, n / 2]
        for k in around(*centers, low=1.0, high=n):
            yield k / dispersion, n / dispersion, rate


BINOMIAL_TAILS = table("successes trials rate", outcomes())

DRAWS = np.random.default_rng(1)
FAMILIES = {
    "one": [0.03],
    "none": [np.nan, np.nan],
    "ties": [0.01, 0.01, 0.04, 0.04, 0.04, 1.0, 1.0],
    "zero and one": [0.0, 0.0, 1.0, 0.5],
    "tiny": [1e-300, 3e-300, 1e-200, 1e-10, 0.9],
    "with nulls": [0.2, np.nan, 0.001, np.nan, 0.04],
    "not monotone": [0.011, 0.012, 0.013, 0.014, 0.05],
    "many": [*DRAWS.random(500) ** 4],
}
P_VALUES = pd.DataFrame(
    [(family, i, p) for family, values in FAMILIES.items() for i, p in enumerate(values)],
    columns=["family", "id", "p_value"],
).sample(frac=1, random_state=1)

WILSON = table(
    "k n z",
    [
        (k, n, z)
        for n in (1.0, 2.0, 3.0, 10.0, 100.0, 5000.0, 1e6, 1e9)
        for k in around(1, n - 1, 0.0554 * n, n / 2, low=0.0, high=n)
        for z in stats.norm.isf([0.25, 0.05, 0.025, 0.0005, 1e-9])
    ],
).astype({"k": "int64", "n": "int64"})

# Users as (events, violations) of each case.
USER_CASES = {
    "one user": [(20, 3)],
    "one event each": [(1, 0)] * 30 + [(1, 1)] * 4,
    "no violation": [(5, 0), (9, 0)],
    "nothing but violations": [(5, 5), (1, 1), (9, 9)],
    "all or nothing": [(10, 10), (10, 0), (10, 0), (7, 7)],
    "less than chance": [(20, 1), (20, 2)] * 25,
    "more than chance": [(10, 0), (25, 9), (3, 0), (40, 2), (12, 1), (1, 1), (60, 20)],
    "many users": [(int(n), int(DRAWS.binomial(n, DRAWS.beta(1, 17)))) for n in range(1, 900)],
    "large users": [(10**9, 55_000_000), (10**9, 60_000_000), (10**8, 1_000_000), (1, 1)],
}
USERS = pd.DataFrame(
    [(case, *user) for case, users in USER_CASES.items() for user in users],
    columns=["name", "events", "violation_events"],
)
USERS["violation_rate"] = USERS["violation_events"] / USERS["events"]

STUDENT_LEVELS = table(
    "probability degrees_of_freedom",
    product((0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 1 - 0.05 / 18, 1 - 1e-5, 1 - 1e-8), DEGREES),
)
# What is approximate, at levels that it is asked for.
QUANTILES = table(
    "probability degrees_of_freedom denominator_degrees",
    product((0.05, 0.05 / 9, 0.005 / 9), (1, 2, 5, 23, 30, 365), (10, 30, 1000, 1e9)),
)
STUDENT_LEVELS["z"] = -stats.norm.isf(STUDENT_LEVELS["probability"])
QUANTILES["z"] = stats.norm.isf(QUANTILES["probability"])
for tests in (F_TAILS, CHI_SQUARE, BINOMIAL_TAILS, STUDENT_LEVELS, QUANTILES):
    tests["test_key"] = tests.index

UNDER, OVER = np.nextafter(LEVEL, 0), np.nextafter(LEVEL, 1)
SOME_P_VALUES = (0.0, 1e-300, UNDER, LEVEL, OVER, 0.099, 1.0, np.nan)
SOME_EFFECTS = (-1.0, -0.006, -0.005, -0.004, 0.0, 0.004, 0.005, 0.006, 1.0, np.nan)
# 0.03125 is exact, half-way in both formats, and rounds away from zero; so does its negative.
FRACTIONS = (0.0, 1e-9, 0.00004, 0.0005, 0.03125, 0.0554, 0.12345, 0.99949, 0.99951, 1.0)


# --- Macros --------------------------------------------------------------------------------------


def calls(source: str = "{arguments}", **macros: str) -> str:
    """A query with a column more for each macro."""
    columns = [f"{{{{ {call} }}}} as {column}" for column, call in macros.items()]
    return f"select *, {', '.join(columns)} from {source}"


def tails(of: str) -> str:
    """A query with the tail of the beta distribution that a macro makes."""
    return (
        f"with tests as (select *, {{{{ {of} }}}} from {{arguments}}), {{{{ beta_node_ctes() }}}},"
        " {{ beta_tail_ctes('tests', 'tails') }}"
        " select tests.*, tails.p_value from tests inner join tails using (test_key)"
    )


def trend_verdict(days, violation_events, events, p_adjusted, change) -> str:
    if days < 3 or min(violation_events, events - violation_events) < MINIMUM_EXPECTED:
        return "too_few"
    if math.isnan(p_adjusted):
        return "too_few"
    return "differs" if p_adjusted < LEVEL and abs(change) >= MINIMUM_EFFECT else "no_evidence"


def risk_evidence(smallest, p_value, p_adjusted, rate_difference) -> str:
    if smallest >= LEVEL:
        return "too_few_events"
    if p_adjusted < LEVEL and abs(rate_difference) >= MINIMUM_EFFECT:
        return "confirmed"
    return "watch" if p_value < LEVEL else "typical"


def by_row(function: Callable[..., str]) -> Callable[[pd.DataFrame], list[str]]:
    """What a function says of the columns that its parameters name."""
    columns = [*signature(function).parameters]
    return lambda grid: [function(*row) for row in grid[columns].itertuples(index=False)]


def by_columns(function: Callable, *columns: str) -> Callable[[pd.DataFrame], np.ndarray]:
    """What a function says of columns."""
    return lambda grid: function(*(grid[column] for column in columns))


def by_family(method: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda grid: grid.groupby("family")["p_value"].transform(adjusted, method)


def shrunk_rate(grid: pd.DataFrame) -> pd.Series:
    cases = [shrunk(users.events, users.violation_events) for _, users in grid.groupby("name")]
    return pd.concat(cases).sort_index()


def student_quantile(grid: pd.DataFrame) -> np.ndarray:
    quantile = -stats.t.isf(grid.probability, grid.degrees_of_freedom)
    return np.where(grid.probability == 0.5, 0, quantile)


# For each grid, its arguments, the query that applies the macros to them (`{arguments}`), and what
# its columns must be.
GRIDS = {
    "deviates": (
        table("x", [*np.linspace(0, 38, 3801), *10.0 ** -np.arange(1, 301, 13), 0.46875, 4.0]),
        calls(p="normal_two_sided_p('x')", p_of_negative="normal_two_sided_p('(-x)')"),
        {
            "p": lambda grid: 2 * stats.norm.sf(grid.x),
            "p_of_negative": lambda grid: 2 * stats.norm.sf(grid.x),
        },
    ),
    "quantiles": (
        table("p", [*np.linspace(0.001, 0.999, 999), *TAILS, *(1 - TAILS[:15]), 0.075, 0.925]),
        calls(quantile="normal_quantile('p')"),
        {"quantile": lambda grid: -stats.norm.isf(grid.p)},
    ),
    "deviances": (
        DEVIANCES,
        calls(deviance="deviance('x', 'mean')"),
        {"deviance": lambda grid: exact_deviance(grid.x, grid["mean"])},
    ),
    "logarithms": (
        table("x", [0.0, -0.99, 0.0099, 0.0101, *TAILS[1:], *-TAILS[1:], *1 / TAILS]),
        calls(logarithm="log_of_one_plus('x')"),
        {"logarithm": lambda grid: np.log1p(grid.x)},
    ),
    # Numbers of all sizes, in two orders.
    "sums": (
        table("value", DRAWS.normal(size=999) * 10.0 ** DRAWS.integers(-9, 9, 999)),
        "select *, (select {{ exact_sum('value') }} from {arguments}) as total,"
        " (select {{ exact_sum('value') }} from (from {arguments} order by value)) as other"
        " from {arguments}",
        {
            "total": lambda grid: np.full(len(grid), math.fsum(grid["value"])),
            "other": lambda grid: grid["total"],
        },
    ),
    "f_tails": (
        F_TAILS,
        tails("beta_of_f('f', 'degrees_of_freedom', 'denominator_degrees')"),
        {"p_value": by_columns(stats.f.sf, "f", "degrees_of_freedom", "denominator_degrees")},
    ),
    "chi_square_tails": (
        CHI_SQUARE,
        tails("beta_of_chi_square('chi_square', 'degrees_of_freedom')"),
        {"p_value": by_columns(stats.chi2.sf, "chi_square", "degrees_of_freedom")},
    ),
    "binomial_tails": (
        BINOMIAL_TAILS,
        tails("beta_of_binomial('successes', 'trials', 'rate')"),
        {
            "p_value": lambda grid: special.betainc(
                grid.successes, grid.trials - grid.successes + 1, grid.rate
            )
        },
    ),
    "adjusted": (
        P_VALUES,
        "with steps as ("
        + calls(
            holm_step="holm_step('p_value', 'id', 'family')",
            bh_step="benjamini_hochberg_step('p_value', 'id', 'family')",
        )
        + ") "
        + calls(
            "steps",
            holm="holm_adjusted('holm_step', 'p_value', 'id', 'family')",
            bh="benjamini_hochberg_adjusted('bh_step', 'p_value', 'id', 'family')",
        ),
        {"holm": by_family("holm"), "bh": by_family("fdr_bh")},
    ),
    "wilson": (
        WILSON,
        calls(low="wilson_low('k', 'n', 'z')", high="wilson_high('k', 'n', 'z')"),
        {
            "low": lambda grid: exact_wilson(grid.k, grid.n, grid.z, -1),
            "high": lambda grid: exact_wilson(grid.k, grid.n, grid.z, 1),
        },
    ),
    "shrinkage": (
        USERS,
        "{% for name in " + repr(tuple(USER_CASES)) + " %}"
        " select * from (with users as (select * from {arguments} where name = '{{ name }}'),"
        " {{ shrinkage_ctes('users') }} select users.*, shrinkage.*,"
        " {{ shrunk_rate('users.violation_rate', 'users.events') }} as shrunk_rate"
        " from users cross join shrinkage) {{ 'union all' if not loop.last }} {% endfor %}",
        {"shrunk_rate": shrunk_rate},
    ),
    "student_quantiles": (
        STUDENT_LEVELS,
        "with levels as (select * from {arguments}), {{ beta_node_ctes() }},"
        " {{ student_quantile_ctes('levels') }}"
        " select * from levels inner join student_quantiles using (test_key)",
        {"quantile": student_quantile},
    ),
    "approximations": (
        QUANTILES,
        "with tests as (select * from {arguments}),"
        " {{ chi_square_node_ctes('tests', 'degrees_of_freedom') }}, nodes as ("
        " select test_key, sum(weight * chi_square) as mean, sum(weight) as weights"
        " from chi_square_nodes group by test_key), quantiles as ("
        + calls(
            "tests",
            f="f_quantile('z', 'degrees_of_freedom', 'denominator_degrees')",
            t="near_student_quantile('z', 'denominator_degrees')",
        )
        + ") select quantiles.*, mean, weights from quantiles inner join nodes using (test_key)",
        {
            "f": by_columns(
                stats.f.isf, "probability", "degrees_of_freedom", "denominator_degrees"
            ),
            "t": by_columns(stats.t.isf, "probability", "denominator_degrees"),
            "mean": by_columns(np.array, "degrees_of_freedom"),
            "weights": lambda grid: np.ones(len(grid)),
        },
    ),
    "looks": (
        table("p_value", SOME_P_VALUES),
        calls(daily="p_of_daily_looks('p_value')"),
        {"daily": lambda grid: np.minimum(1, 10 * grid.p_value)},
    ),
    "trend_verdicts": (
        table(
            "days violation_events events p_adjusted change",
            product((2, 3), (4, 5, 20), (9, 10, 24, 25), SOME_P_VALUES, SOME_EFFECTS),
        ),
        calls(
            verdict="trend_verdict('days', 'violation_events', 'events', 'p_adjusted', 'change')"
        ),
        {"verdict": by_row(trend_verdict)},
    ),
    "risk_evidence": (
        table(
            "smallest p_value p_adjusted rate_difference",
            product(SOME_P_VALUES[:-1], *2 * [SOME_P_VALUES], SOME_EFFECTS),
        ),
        calls(verdict="risk_evidence('smallest', 'p_value', 'p_adjusted', 'rate_difference')"),
        {"verdict": by_row(risk_evidence)},
    ),
    "sentences": (
        table("fraction", FRACTIONS),
        calls(percent="percent('fraction')", points="percentage_points('fraction')"),
        {
            "percent": lambda grid: [*map(percent, grid.fraction)],
            "points": lambda grid: [*map(points, grid.fraction)],
        },
    ),
}


# What was measured, rounded up: chi-square is F of very many users, hardly any successes leave few
# digits, and the others are approximations.
TOLERANCES = {
    ("chi_square_tails", "p_value"): 6e-9,
    ("sums", "other"): 0,
    ("binomial_tails", "p_value"): 4e-9,
    ("approximations", "f"): 0.09,
    ("approximations", "t"): 0.02,
    ("approximations", "mean"): 0.02,
}


@pytest.fixture(scope="module")
def grid(new_project) -> Callable[[str], pd.DataFrame]:
    """Return a function that reads a grid with the results of its macros; one dbt run for all."""
    project = new_project("grid")
    # The macros need no other model, and dbt reads the project much faster without.
    for folder in ("models", "analyses", "tests/invariants"):
        shutil.rmtree(project.root / folder)
    (project.root / "seeds" / "_seeds.yml").unlink()
    models = project.root / "models" / "grid"
    models.mkdir(parents=True)
    for name, (arguments, query, _) in GRIDS.items():
        # Parquet keeps nan and null apart; pandas writes its own nan as null.
        arguments.to_parquet(models / f"{name}.parquet", index=False)
        source = f"read_parquet('models/grid/{name}.parquet')"
        config = "{{ config(materialized='table', schema='grid') }}\n"
        (models / f"grid_{name}.sql").write_text(config + query.replace("{arguments}", source))
    result = project.dbt("run", "--select", "path:models/grid")
    assert result.returncode == 0, result.stdout

    def read(name: str) -> pd.DataFrame:
        with project.connect() as connection:
            rows = connection.sql(f"select * from grid.grid_{name}").df()
        # No argument may get lost.
        assert len(rows) == len(GRIDS[name][0])
        return rows

    return read


@pytest.mark.parametrize(
    ("name", "column"), [(name, column) for name in GRIDS for column in GRIDS[name][2]]
)
def test_macro(grid, name, column):
    rows = grid(name)
    expected = GRIDS[name][2][column](rows)
    if pd.api.types.is_numeric_dtype(rows[column]):
        assert_agree(rows[column], expected, TOLERANCES.get((name, column), TOLERANCE), where=rows)
    else:
        assert rows.assign(expected=expected)[rows[column] != expected].to_dict("records") == []


def test_wilson_of_nothing_and_of_everything(grid):
    rows = grid("wilson")
    assert rows[["low", "high"]].stack().between(0, 1).all()
    assert (rows.loc[rows["k"] == 0, "low"] == 0).all()
    assert (rows.loc[rows["k"] == rows["n"], "high"] == 1).all()
