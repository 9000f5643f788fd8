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
from oracle.tables import adjusted, patnaik, shrunk, wilson_hilferty
from scipy import stats

TOLERANCE = 1e-9
# Below this, doubles begin to lose digits, and a probability may as well be zero.
SMALLEST = 1e-300

ALPHA, MINIMUM_EFFECT, MINIMUM_EXPECTED = 0.05, 0.005, 5


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
def exact_stirling_error(n):
    return mpmath.loggamma(n + 1) - (mpmath.log(2 * mpmath.pi * n) / 2 + n * mpmath.log(n) - n)


@exactly
def exact_deviance(x, mean):
    # It is mean where x is 0.
    return (x * mpmath.log(x / mean) if x else 0) + mean - x


@exactly
def exact_poisson(x, mean):
    return mpmath.exp(x * mpmath.log(mean) - mean - mpmath.loggamma(x + 1))


# Logarithms of factorials lose digits at n = 1e9; with 50 digits it does not matter.
@exactly
def exact_binomial(k, n, p):
    ways = mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)
    return mpmath.exp(ways + k * mpmath.log(p) + (n - k) * mpmath.log(1 - p))


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
POISSON = table(
    "x mean",
    [
        (x, mean)
        for mean in MEANS
        for x in [
            *np.arange(0, 40, 0.5),
            499.5,
            16384.0,
            *around(mean, mean + 9 * math.sqrt(mean), low=0.0, high=1e10),
        ]
    ],
)


def outcomes(trials, probabilities):
    for n, p in product(trials, probabilities):
        sd = math.sqrt(n * p * (1 - p))
        centers = [n * p, n * p + 5 * sd, n * p - 5 * sd, n * p + 30 * sd, 1.3 * n * p, n / 2]
        for k in around(*centers, 1, low=0.0, high=n):
            yield k, n, p


TRIALS = (1.0, 2.0, 3.0, 15.0, 16.0, 17.0, 100.0, 1000.0, 1e5, 1e9)
TAIL_PROBABILITIES = (0.0, 1e-9, 0.01, 0.0554, 0.5, 0.999, 1.0)
# At n = 1e9 the sums are long: a few cases, at the rate that needs the most terms only two.
BINOMIAL_TAILS = table(
    "k n p",
    [
        *outcomes(TRIALS[:-1], TAIL_PROBABILITIES),
        *outcomes([1e9], [1e-9]),
        *((k, 1e9, 0.0554) for k in (0, 1, 55_399_999, 55_400_000, 55_400_001, 55_436_000, 1e9)),
        *((k, 1e9, 0.5) for k in (500_000_001, 499_950_000)),
    ],
).astype({"k": "int64", "n": "int64"})

# The last have no degree of freedom, more of them than terms, or no statistic: no p-value.
CHI_SQUARE = table(
    "degrees_of_freedom chi_square",
    [
        *(
            (df, chi_square)
            for df in (*range(1, 32), 98, 99, 100, 730, 999, 4999, 5000, 16383, 32767, 32768)
            for chi_square in [
                *(0.0, 1e-12, 0.5, 1.0, float(df)),
                *stats.chi2.isf([1 - 1e-9, 0.99, 0.5, 0.05, 1e-5, 1e-20, 1e-100, 1e-290], df),
            ]
        ),
        *((0, 0.0), (0, 1.0), (32769, 32769.0)),
        *((df, np.nan) for df in (0, 1, 2, 3, 4, 1000)),
    ],
)
CHI_SQUARE["test_key"] = CHI_SQUARE.index

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

FEW = (4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 300, 500, 999)
SMALL = (0.0, 1e-12, 1e-6, 1e-4, 0.001, 0.01, 0.0316, 0.0317, 0.05)
CORRELATIONS = table(
    "r n",
    [
        (sign * r, n)
        for n in (*FEW, 1000, 2000, 5000, 20000, 60000, 10**6, 10**9)
        for r in (*SMALL, *np.linspace(0.1, 0.9, 9), 0.95, 0.99)
        for sign in (1, -1)
    ],
)

# Student's t on the scale of its logarithm, as far as the tail is a number; and quantiles.
DEGREES = (1, 2, 3, 4, 5, 8, 28, 100, 1000, 9500)
STUDENT_TAILS = table(
    "t degrees_of_freedom",
    product((0.0, 1e-12, 1e-6, 0.001, 0.03, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 20.0, 37.0), DEGREES),
)
STUDENT_TAILS["root"] = np.sqrt(
    np.log1p(STUDENT_TAILS["t"] ** 2 / STUDENT_TAILS["degrees_of_freedom"])
)
STUDENT_LEVELS = table(
    "probability degrees_of_freedom",
    product((0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 1 - 0.05 / 18, 1 - 1e-5, 1 - 1e-8), DEGREES),
)
STUDENT_LEVELS = STUDENT_LEVELS.assign(
    test_key=STUDENT_LEVELS.index, z=-stats.norm.isf(STUDENT_LEVELS["probability"])
)

POWERS = table(
    "tail power degrees_of_freedom",
    product((0.05, 0.05 / 8, 0.001), (0.5, 0.8, 0.95), (1, 2, 4, 5, 23, 30, 365, 5000)),
)
POWERS = POWERS.assign(z=stats.norm.isf(POWERS["tail"]), z_power=stats.norm.ppf(POWERS["power"]))

UNDER, OVER = np.nextafter(ALPHA, 0), np.nextafter(ALPHA, 1)
SOME_P_VALUES = (0.0, 1e-300, UNDER, ALPHA, OVER, 1.0, np.nan)
# 0.03125 is exact, half-way in both formats, and rounds away from zero; so does its negative.
FRACTIONS = (0.0, 1e-9, 0.00004, 0.0005, 0.03125, 0.0554, 0.12345, 0.99949, 0.99951, 1.0)


# --- Macros --------------------------------------------------------------------------------------


def calls(source: str = "{arguments}", **macros: str) -> str:
    """A query with a column more for each macro."""
    columns = [f"{{{{ {call} }}}} as {column}" for column, call in macros.items()]
    return f"select *, {', '.join(columns)} from {source}"


def dimension_verdict(sparse_members, members, p_adjusted) -> str:
    if sparse_members / members > 0.2 or math.isnan(p_adjusted):
        return "too_few"
    return "differs" if p_adjusted < ALPHA else "no_evidence"


def member_verdict(in_member, in_rest, of_dimension, p_adjusted, rate_difference) -> str:
    if in_member < MINIMUM_EXPECTED or in_rest < MINIMUM_EXPECTED:
        return "too_few"
    enough = of_dimension == "differs" and p_adjusted < ALPHA
    return "differs" if enough and abs(rate_difference) >= MINIMUM_EFFECT else "no_evidence"


def risk_evidence(smallest, p_value, p_adjusted) -> str:
    if smallest >= ALPHA:
        return "too_few_events"
    if p_adjusted < ALPHA:
        return "confirmed"
    return "watch" if p_value < ALPHA else "typical"


def by_row(function: Callable[..., str]) -> Callable[[pd.DataFrame], list[str]]:
    """What a function says of the columns that its parameters name."""
    columns = [*signature(function).parameters]
    return lambda grid: [function(*row) for row in grid[columns].itertuples(index=False)]


def by_family(method: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda grid: grid.groupby("family")["p_value"].transform(adjusted, method)


def shrunk_rate(grid: pd.DataFrame) -> pd.Series:
    cases = [shrunk(users.events, users.violation_events) for _, users in grid.groupby("name")]
    return pd.concat(cases).sort_index()


def chi_square_p_value(grid: pd.DataFrame) -> np.ndarray:
    is_testable = grid.degrees_of_freedom.between(1, 32768)
    return np.where(is_testable, stats.chi2.sf(grid.chi_square, grid.degrees_of_freedom), np.nan)


def correlation_tail(grid: pd.DataFrame) -> np.ndarray:
    df = (grid["n"] - 2).where(grid["n"] > 3)
    t = grid["r"].abs() * np.sqrt(df / ((1 - grid["r"]) * (1 + grid["r"])))
    return 2 * stats.t.sf(t, df)


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
    "stirling": (
        table("n", [*np.arange(0.5, 200, 0.5), 15.999, 16.001, *10.0 ** np.arange(3, 10)]),
        calls(stirling_error="stirling_error('n')"),
        {"stirling_error": lambda grid: exact_stirling_error(grid.n)},
    ),
    "poisson": (
        POISSON,
        calls(deviance="deviance('x', 'mean')", probability="poisson_probability('x', 'mean')"),
        {
            "deviance": lambda grid: exact_deviance(grid.x, grid["mean"]),
            "probability": lambda grid: exact_poisson(grid.x, grid["mean"]),
        },
    ),
    "binomial": (
        table("k n p", outcomes((0.0, *TRIALS), (1e-9, 1e-4, 0.01, 0.0554, 0.3, 0.5, 0.9, 0.999))),
        calls(
            "(select *, n - k as rest, n * p as mean, n * (1 - p) as rest_mean from {arguments})",
            probability="binomial_probability('n', 'k', 'rest', 'mean', 'rest_mean')",
        ),
        {"probability": lambda grid: exact_binomial(grid.k, grid.n, grid.p)},
    ),
    "chi_square_tails": (
        CHI_SQUARE,
        "with tests as (select * from {arguments}),"
        " {{ chi_square_tail_ctes('tests', longest=16384) }} select * from chi_square_tails",
        {"p_value": chi_square_p_value},
    ),
    # The macro tells outcomes apart without their rate, so each rate has a query of its own.
    "binomial_tails": (
        BINOMIAL_TAILS,
        "{% for p in " + repr(TAIL_PROBABILITIES) + " %}"
        " select successes as k, trials as n, cast({{ p }} as double) as p, p_value from ("
        " with outcomes as (select n as trials, k as successes, p as probability"
        " from {arguments} where p = {{ p }}),"
        " {{ binomial_tail_ctes('outcomes', longest=262144) }} select * from binomial_tails)"
        " {{ 'union all' if not loop.last }} {% endfor %}",
        {"p_value": lambda grid: stats.binom.sf(grid.k - 1, grid.n, grid.p)},
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
    "correlations": (
        CORRELATIONS,
        "with tests as (select *, r as coefficient, n as effective_events from {arguments}),"
        " {{ student_node_ctes() }}, {{ correlation_tail_ctes('tests', 'tails', keys='r, n') }}"
        " select * from tails",
        {"p_value": correlation_tail},
    ),
    "student_tails": (
        STUDENT_TAILS,
        "with tests as (select * from {arguments}), {{ student_node_ctes() }},"
        " {{ student_tail_ctes('tests', 'tails', keys='t') }} select * from tails",
        {"p_value": lambda grid: 2 * stats.t.sf(grid.t, grid.degrees_of_freedom)},
    ),
    "student_quantiles": (
        STUDENT_LEVELS,
        "with levels as (select * from {arguments}), {{ student_node_ctes() }},"
        " {{ student_quantile_ctes('levels') }}"
        " select * from levels inner join student_quantiles using (test_key)",
        {"quantile": student_quantile},
    ),
    "powers": (
        POWERS,
        "with critical as ("
        + calls(critical_value="chi_square_quantile('z', 'degrees_of_freedom')")
        + ") "
        + calls(
            "critical",
            noncentrality="detectable_noncentrality('critical_value', 'degrees_of_freedom',"
            " 'z_power')",
        ),
        {
            "critical_value": lambda grid: wilson_hilferty(grid.z, grid.degrees_of_freedom),
            "noncentrality": lambda grid: patnaik(
                grid.critical_value, grid.degrees_of_freedom, grid.z_power
            ),
        },
    ),
    "dimension_verdicts": (
        table(
            "sparse_members members p_adjusted",
            [
                (sparse, members, p)
                for members in (1, 4, 5, 6, 31)
                for sparse in range(members + 1)
                for p in SOME_P_VALUES
            ],
        ),
        calls(verdict="dimension_verdict('sparse_members', 'members', 'p_adjusted')"),
        {"verdict": by_row(dimension_verdict)},
    ),
    "member_verdicts": (
        table(
            "in_member in_rest of_dimension p_adjusted rate_difference",
            product(
                (0.0, 4.999, 5.0, 1e6),
                (0.0, 4.999, 5.0, 1e6, np.nan),
                ("differs", "no_evidence", "too_few"),
                SOME_P_VALUES,
                (-1.0, -0.006, -0.005, -0.004, 0.0, 0.004, 0.005, 0.006, 1.0, np.nan),
            ),
        ),
        calls(
            verdict="member_verdict('in_member', 'in_rest', 'of_dimension', 'p_adjusted',"
            " 'rate_difference')"
        ),
        {"verdict": by_row(member_verdict)},
    ),
    "risk_evidence": (
        table("smallest p_value p_adjusted", product(SOME_P_VALUES[:-1], *2 * [SOME_P_VALUES])),
        calls(verdict="risk_evidence('smallest', 'p_value', 'p_adjusted')"),
        {"verdict": by_row(risk_evidence)},
    ),
    "sentences": (
        table("fraction", [sign * fraction for fraction in FRACTIONS for sign in (1, -1)]),
        calls(percent="percent('fraction')", points="percentage_points('fraction')"),
        {"percent": by_row(percent), "points": by_row(points)},
    ),
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
        assert_agree(rows[column], expected, TOLERANCE, where=rows)
    else:
        assert rows.assign(expected=expected)[rows[column] != expected].to_dict("records") == []


def test_wilson_of_nothing_and_of_everything(grid):
    rows = grid("wilson")
    assert rows[["low", "high"]].stack().between(0, 1).all()
    assert (rows.loc[rows["k"] == 0, "low"] == 0).all()
    assert (rows.loc[rows["k"] == rows["n"], "high"] == 1).all()


def test_power_is_what_it_says(grid):
    rows = grid("powers")
    critical = stats.chi2.isf(rows["tail"], rows["degrees_of_freedom"])
    # Both formulas are approximations: the bounds are the errors that were measured, rounded up.
    assert_agree(rows["critical_value"], critical, 0.035, where=rows)
    reached = stats.ncx2.sf(critical, rows["degrees_of_freedom"], rows["noncentrality"])
    largest = np.abs(reached - rows["power"]).groupby(rows["power"]).max()
    assert (largest < pd.Series({0.5: 0.12, 0.8: 0.02, 0.95: 0.035})).all()
