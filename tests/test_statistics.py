"""Every statistics macro and every statistics column, against scipy, statsmodels and exact sums.

The macros run over grids of arguments, extremes included, in one dbt run. The marts are checked on
the committed seed, where nothing has an effect, and on realistic events with planted effects.
"""

import functools
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from fractions import Fraction
from itertools import product

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.api import OLS, add_constant
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint, proportions_ztest

TOLERANCE = 1e-9
# Below this, doubles begin to lose digits, and a probability may as well be zero.
SMALLEST = 1e-300

CONFIDENCE, ALPHA, POWER = 0.95, 0.05, 0.8
MINIMUM_EFFECT, MINIMUM_EXPECTED = 0.005, 5

# --- Agreement -----------------------------------------------------------------------------------


def assert_agree(actual, expected, tolerance=TOLERANCE, where=None):
    """Fail unless all numbers agree to a relative error; null agrees with nan, and only with it."""
    actual = np.asarray(pd.Series(actual).astype(float))
    expected = np.asarray(pd.Series(expected).astype(float))
    assert len(actual) == len(expected) > 0
    tiny = (np.abs(expected) < SMALLEST) & (np.abs(actual) <= SMALLEST)
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(actual - expected) / np.abs(expected)
    error = np.where(tiny | (actual == expected) | np.isnan(expected), 0.0, error)
    worst = int(np.argmax(error))
    case = "" if where is None else f" at {where.iloc[worst].to_dict()}"
    assert error[worst] <= tolerance, (
        f"relative error {error[worst]:.1e}{case}: {actual[worst]!r}, not {expected[worst]!r}; "
        f"{(error > tolerance).sum()} of {len(error)} differ"
    )


# --- References with 50 digits, where doubles do not do ------------------------------------------

PI = Decimal("3.14159265358979323846264338327950288419716939937511")


def exactly(function: Callable[..., Decimal]) -> Callable[..., np.ndarray]:
    """Apply a function of decimals to doubles, one after another, with 50 digits."""

    @functools.wraps(function)
    def apply(*columns):
        with localcontext(Context(prec=50)):
            rows = zip(*(map(float, column) for column in columns), strict=True)
            return np.array([float(function(*map(Decimal, row))) for row in rows])

    return apply


@functools.cache
def bernoulli_number(m: int) -> Fraction:
    if m == 0:
        return Fraction(1)
    return -sum(math.comb(m + 1, k) * bernoulli_number(k) for k in range(m)) / (m + 1)


def as_decimal(fraction: Fraction) -> Decimal:
    return Decimal(fraction.numerator) / fraction.denominator


def log_factorial(n: Decimal) -> Decimal:
    """Logarithm of Gamma(n + 1): Stirling's series from 100 on, where 15 terms give 50 digits."""
    x, factors = n + 1, Decimal(1)
    while x < 100:
        factors *= x
        x += 1
    series = sum(
        as_decimal(bernoulli_number(2 * k) / (2 * k * (2 * k - 1))) / x ** (2 * k - 1)
        for k in range(1, 16)
    )
    return (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2 + series - factors.ln()


@exactly
def exact_stirling_error(n):
    return log_factorial(n) - ((2 * PI * n).ln() / 2 + n * n.ln() - n)


@exactly
def exact_deviance(x, mean):
    return x * (x / mean).ln() + mean - x


@exactly
def exact_poisson(x, mean):
    return (x * mean.ln() - mean - log_factorial(x)).exp()


@exactly
def exact_binomial(k, n, p):
    ways = log_factorial(n) - log_factorial(k) - log_factorial(n - k)
    return (ways + k * p.ln() + (n - k) * (1 - p).ln()).exp()


def binomial_tail(k: float, n: float, p: float) -> float:
    """P(X >= k): the first term to 50 digits, the others by the ratios of neighbouring terms."""
    if k == 0 or p in (0, 1):
        return float(k <= n * p)
    reach = 100 + int(40 * math.sqrt(n * p * (1 - p)))
    odds = p / (1 - p)
    if k > n * p:
        j = np.arange(k + 1, min(n, k + reach) + 1)
        return terms_from(exact_binomial([k], [n], [p])[0], (n - j + 1) / j * odds)
    j = np.arange(k - 1, max(0, k - reach), -1)
    return 1 - terms_from(exact_binomial([k - 1], [n], [p])[0], j / (n - j + 1) / odds)


def terms_from(first: float, ratios: np.ndarray) -> float:
    return first * (1 + np.cumprod(ratios).sum())


@exactly
def exact_wilson_low(k, n, z):
    return wilson_root(k, n, z, -1)


@exactly
def exact_wilson_high(k, n, z):
    return wilson_root(k, n, z, 1)


def wilson_root(k, n, z, side):
    """Solve (k / n - rate)^2 = z^2 rate (1 - rate) / n for the rate."""
    half_width = z * (k * (n - k) / n + z * z / 4).sqrt()
    # Fifty digits are not enough to cancel to zero.
    return Decimal(0) if k == 0 and side < 0 else (k + z * z / 2 + side * half_width) / (n + z * z)


def rounded(number: float, places: int) -> str:
    return str(Decimal(float(number)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0)


# --- Grids of arguments --------------------------------------------------------------------------


def table(columns: str, rows) -> pd.DataFrame:
    """A grid, each combination once."""
    return pd.DataFrame(rows, columns=columns.split()).drop_duplicates(ignore_index=True)


def around(*numbers: float, low: float, high: float) -> list[float]:
    """The whole numbers nearest to some, within limits, and the limits."""
    near = {math.floor(number) + step for number in numbers for step in (-1, 0, 1, 2)}
    return sorted({float(min(max(number, low), high)) for number in {*near, low, high}})


DEVIATES = table(
    "x", [[x] for x in [*np.linspace(0, 38, 3801), *10.0 ** -np.arange(1, 301, 13), 0.46875, 4.0]]
)

TAILS = 10.0 ** -np.arange(1, 301)
PROBABILITIES = table(
    "p",
    [[p] for p in [*np.linspace(0.001, 0.999, 999), *TAILS, *(1 - TAILS[:15]), 0.075, 0.925]],
)

POLYNOMIALS = table("x", [[x] for x in (-1e9, -2.5, 0.0, 1e-300, 0.1, 1.0, 3.0, 1e9)])

WHOLE_AND_HALF = table(
    "n", [[n] for n in [*np.arange(0.5, 200, 0.5), 15.999, 16.001, *10.0 ** np.arange(3, 10)]]
)

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
BINOMIAL = table(
    "k n p", outcomes((0.0, *TRIALS), (1e-9, 1e-4, 0.01, 0.0554, 0.3, 0.5, 0.9, 0.999))
)
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

CHI_SQUARE = table(
    "degrees_of_freedom chi_square",
    [
        (df, chi_square)
        for df in (*range(1, 32), 98, 99, 100, 730, 999, 4999, 5000, 16383, 32767, 32768)
        for chi_square in [
            0.0,
            1e-12,
            0.5,
            1.0,
            float(df),
            *stats.chi2.isf([1 - 1e-9, 0.99, 0.5, 0.05, 1e-5, 1e-20, 1e-100, 1e-290], df),
        ]
    ],
)
# No degree of freedom, more of them than terms, and no statistic: no p-value.
NOT_TESTABLE = table(
    "degrees_of_freedom chi_square",
    [(0, 0.0), (0, 1.0), (32769, 32769.0), *((df, np.nan) for df in (0, 1, 2, 3, 4, 1000))],
)
CHI_SQUARE = pd.concat([CHI_SQUARE, NOT_TESTABLE], ignore_index=True)
CHI_SQUARE["test_key"] = [f"test {number}" for number in CHI_SQUARE.index]

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

LEVELS = stats.norm.isf([0.25, 0.05, 0.025, 0.0005, 1e-9])
WILSON = table(
    "k n z",
    [
        (k, n, z)
        for n in (1.0, 2.0, 3.0, 10.0, 100.0, 5000.0, 1e6, 1e9)
        for k in around(1, n - 1, 0.0554 * n, n / 2, low=0.0, high=n)
        for z in LEVELS
    ],
)

# Users as (events, violations) of each case.
USER_CASES = {
    "one user": [(20, 3)],
    "one event each": [(1, 0)] * 30 + [(1, 1)] * 4,
    "no violation": [(5, 0), (9, 0)],
    "nothing but violations": [(5, 5), (1, 1), (9, 9)],
    "all or nothing": [(10, 10), (10, 0), (10, 0), (7, 7)],
    "less than chance": [(20, 1)] * 50,
    "more than chance": [(10, 0), (25, 9), (3, 0), (40, 2), (12, 1), (1, 1), (60, 20)],
    "many users": [(int(n), int(DRAWS.binomial(n, DRAWS.beta(1, 17)))) for n in range(1, 900)],
    "large users": [(10**9, 55_000_000), (10**9, 60_000_000), (10**8, 1_000_000), (1, 1)],
}
USERS = pd.DataFrame(
    [(case, *user) for case, users in USER_CASES.items() for user in users],
    columns=["name", "events", "violation_events"],
)
USERS["violation_rate"] = USERS["violation_events"] / USERS["events"]

COEFFICIENTS = (
    *(0.0, 1e-12, 1e-6, 1e-4, 0.001, 0.01, 0.0316, 0.0317, 0.05, 0.1),
    *(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
)
CORRELATIONS = table(
    "r n",
    [
        (sign * r, n)
        for n in (
            4,
            5,
            6,
            8,
            10,
            15,
            20,
            30,
            50,
            100,
            200,
            300,
            500,
            999,
            1000,
            2000,
            5000,
            20000,
            60000,
            10**6,
            10**9,
        )
        for r in COEFFICIENTS
        for sign in (1, -1)
    ],
)

# Student's t on the scale of its logarithm, as far as the tail is a number; and quantiles.
DEGREES = (1, 2, 3, 4, 5, 8, 28, 100, 1000, 9500)
STUDENT_TAILS = table(
    "t degrees_of_freedom",
    product((0.0, 1e-12, 1e-6, 0.001, 0.03, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 20.0, 37.0), DEGREES),
)
STUDENT_TAILS = STUDENT_TAILS.assign(
    test_key=STUDENT_TAILS.index.astype(str),
    root=np.sqrt(np.log1p(STUDENT_TAILS["t"] ** 2 / STUDENT_TAILS["degrees_of_freedom"])),
)
STUDENT_LEVELS = table(
    "probability degrees_of_freedom",
    product((0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 1 - 0.05 / 18, 1 - 1e-5, 1 - 1e-8), DEGREES),
)
STUDENT_LEVELS = STUDENT_LEVELS.assign(
    test_key=STUDENT_LEVELS.index.astype(str), z=-stats.norm.isf(STUDENT_LEVELS["probability"])
)

POWERS = table(
    "tail power degrees_of_freedom",
    product((0.05, 0.05 / 8, 0.001), (0.5, 0.8, 0.95), (1, 2, 4, 5, 23, 30, 365, 5000)),
)
POWERS["z"] = stats.norm.isf(POWERS["tail"])
POWERS["z_power"] = stats.norm.ppf(POWERS["power"])

UNDER, OVER = np.nextafter(ALPHA, 0), np.nextafter(ALPHA, 1)
SOME_P_VALUES = (0.0, 1e-300, UNDER, ALPHA, OVER, 1.0, np.nan)
DIMENSION_VERDICTS = table(
    "sparse_members members p_adjusted",
    [
        (sparse, members, p)
        for members in (1, 4, 5, 6, 31)
        for sparse in range(members + 1)
        for p in SOME_P_VALUES
    ],
)
MEMBER_VERDICTS = table(
    "in_member in_rest dimension_verdict p_adjusted rate_difference",
    product(
        (0.0, 4.999, 5.0, 1e6),
        (0.0, 4.999, 5.0, 1e6, np.nan),
        ("differs", "no_evidence", "too_few"),
        SOME_P_VALUES,
        (-1.0, -0.006, -0.005, -0.004, 0.0, 0.004, 0.005, 0.006, 1.0, np.nan),
    ),
)
RISK_EVIDENCE = table(
    "smallest p_value p_adjusted", product(SOME_P_VALUES[:-1], SOME_P_VALUES, SOME_P_VALUES)
)

# 0.03125 is exact, half-way in both formats, and rounds away from zero; so does its negative.
FRACTIONS = (0.0, 1e-9, 0.00004, 0.0005, 0.03125, 0.0554, 0.12345, 0.99949, 0.99951, 1.0)
SENTENCES = table("fraction n", [(sign * f, 10**9) for f in FRACTIONS for sign in (1, -1)])

# For each grid, its arguments and the query that applies the macros to them (`{arguments}`).
GRIDS = {
    "deviates": (
        DEVIATES,
        "select *, {{ normal_two_sided_p('x') }} as p,"
        " {{ normal_two_sided_p('(-x)') }} as p_of_negative from {arguments}",
    ),
    "quantiles": (
        PROBABILITIES,
        "select *, {{ normal_quantile('p') }} as quantile from {arguments}",
    ),
    "polynomials": (
        POLYNOMIALS,
        "select *, {{ polynomial('x', [7e-30]) }} as constant,"
        " {{ polynomial('x', [1, -2.5, 0, 1 / 3]) }} as cubic,"
        " {{ rational('x', [0.1, 1e-12], [3, 0, 2]) }} as quotient from {arguments}",
    ),
    "stirling": (
        WHOLE_AND_HALF,
        "select *, {{ stirling_error('n') }} as stirling_error from {arguments}",
    ),
    "poisson": (
        POISSON,
        "select *, case when x > 0 then {{ deviance('x', 'mean') }} end as deviance,"
        " {{ poisson_probability('x', 'mean') }} as probability from {arguments}",
    ),
    "binomial": (
        BINOMIAL,
        "select *, {{ binomial_probability('n', 'k', 'rest', 'mean', 'rest_mean') }} as probability"
        " from (select *, n - k as rest, n * p as mean, n * (1 - p) as rest_mean from {arguments})",
    ),
    "chi_square_tails": (
        CHI_SQUARE,
        "with tests as (select * from {arguments}),"
        " {{ chi_square_tail_ctes('tests', longest=16384) }} select * from chi_square_tails",
    ),
    # The macro takes one overall rate, so each has a query of its own.
    "binomial_tails": (
        BINOMIAL_TAILS,
        "{% for p in " + repr(TAIL_PROBABILITIES) + " %}"
        " select successes as k, trials as n, cast({{ p }} as double) as p, p_value from ("
        " with outcomes as (select n as trials, k as successes, p as probability"
        " from {arguments} where p = {{ p }}),"
        " {{ binomial_tail_ctes('outcomes', longest=262144) }} select * from binomial_tails)"
        " {{ 'union all' if not loop.last }} {% endfor %}",
    ),
    "adjusted": (
        P_VALUES,
        "with steps as (select *,"
        " {{ holm_step('p_value', ties='id', family='family') }} as holm_step,"
        " {{ benjamini_hochberg_step('p_value', ties='id', family='family') }} as bh_step,"
        " {{ holm_step('p_value', ties='family, id') }} as holm_step_of_all,"
        " {{ benjamini_hochberg_step('p_value', ties='family, id') }} as bh_step_of_all"
        " from {arguments}) select *,"
        " {{ holm_adjusted('holm_step', 'p_value', ties='id', family='family') }} as holm,"
        " {{ benjamini_hochberg_adjusted('bh_step', 'p_value', ties='id', family='family') }}"
        " as bh,"
        " {{ holm_adjusted('holm_step_of_all', 'p_value', ties='family, id') }} as holm_of_all,"
        " {{ benjamini_hochberg_adjusted('bh_step_of_all', 'p_value', ties='family, id') }}"
        " as bh_of_all from steps",
    ),
    "wilson": (
        WILSON,
        "select *, {{ wilson_low('k', 'n', 'z') }} as low, {{ wilson_high('k', 'n', 'z') }} as high"
        " from {arguments}",
    ),
    "wilson_of_counts": (
        WILSON.astype({"k": "int64", "n": "int64"}),
        "select *, {{ wilson_low('k', 'n', 'z') }} as low, {{ wilson_high('k', 'n', 'z') }} as high"
        " from {arguments}",
    ),
    "shrinkage": (
        USERS,
        "{% for name in " + repr(tuple(USER_CASES)) + " %}"
        " select * from (with users as (select * from {arguments} where name = '{{ name }}'),"
        " {{ shrinkage_ctes('users') }} select users.*, shrinkage.*,"
        " {{ shrunk_rate('users.violation_rate', 'users.events') }} as shrunk_rate"
        " from users cross join shrinkage) {{ 'union all' if not loop.last }} {% endfor %}",
    ),
    "correlations": (
        CORRELATIONS,
        "with logarithms as (select *, {{ minus_log_of_unexplained('r') }} as minus_log"
        " from {arguments}),"
        " deviates as (select *, {{ correlation_normal_deviate('minus_log', 'n') }} as deviate"
        " from logarithms) select *, {{ normal_two_sided_p('deviate') }} as p_value from deviates",
    ),
    "student_tails": (
        STUDENT_TAILS,
        "with tests as (select * from {arguments}), {{ student_node_ctes() }},"
        " {{ student_tail_ctes('tests', 'tails', keys='test_key, t') }} select * from tails",
    ),
    "student_quantiles": (
        STUDENT_LEVELS,
        "with levels as (select * from {arguments}), {{ student_node_ctes() }},"
        " {{ student_quantile_ctes('levels') }}"
        " select * from levels inner join student_quantiles using (test_key)",
    ),
    "powers": (
        POWERS,
        "with critical as (select *, {{ chi_square_quantile('z', 'degrees_of_freedom') }}"
        " as critical_value from {arguments}) select *,"
        " {{ detectable_noncentrality('critical_value', 'degrees_of_freedom', 'z_power') }}"
        " as noncentrality from critical",
    ),
    "dimension_verdicts": (
        DIMENSION_VERDICTS,
        "select *, {{ dimension_verdict('sparse_members', 'members', 'p_adjusted') }} as verdict"
        " from {arguments}",
    ),
    "member_verdicts": (
        MEMBER_VERDICTS,
        "select *, {{ member_verdict('in_member', 'in_rest', 'dimension_verdict', 'p_adjusted',"
        " 'rate_difference') }} as verdict from {arguments}",
    ),
    "risk_evidence": (
        RISK_EVIDENCE,
        "select *, {{ risk_evidence('smallest', 'p_value', 'p_adjusted') }} as verdict"
        " from {arguments}",
    ),
    "sentences": (
        SENTENCES,
        "select *, {{ percent('fraction') }} as percent,"
        " {{ percentage_points('fraction') }} as percentage_points,"
        " {{ whole_number('n') }} as whole_number,"
        " {{ rate_with_interval('fraction', '0.0', '0.5', 'n') }} as rate_with_interval,"
        " '{{ percent_of_var('power') }}' as power from {arguments}",
    ),
}


@pytest.fixture(scope="module")
def grid(new_project) -> Callable[[str], pd.DataFrame]:
    """Return a function that reads a grid with the results of its macros; one dbt run for all."""
    project = new_project("grid")
    # The macros need no other model, and dbt reads the project much faster without.
    for folder in ("models", "analyses"):
        shutil.rmtree(project.root / folder)
    for file in [*project.root.glob("tests/*.sql"), *project.root.glob("*/_*.yml")]:
        file.unlink()
    models = project.root / "models" / "grid"
    models.mkdir(parents=True)
    for name, (arguments, query) in GRIDS.items():
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


# --- Macros --------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["p", "p_of_negative"])
def test_normal_two_sided_p(grid, column):
    rows = grid("deviates")
    expected = 2 * stats.norm.sf(rows["x"])
    assert expected[expected > SMALLEST].min() < 1e-290
    assert_agree(rows[column], expected, where=rows)
    assert rows.loc[rows["x"] == 0, column].tolist() == [1.0]


def test_normal_quantile(grid):
    rows = grid("quantiles")
    assert_agree(rows["quantile"], -stats.norm.isf(rows["p"]), where=rows)


def test_polynomial_and_rational(grid):
    rows = grid("polynomials")
    x = rows["x"]
    assert (rows["constant"] == 7e-30).all()
    assert_agree(rows["cubic"], np.polyval([1 / 3, 0, -2.5, 1], x), where=rows)
    assert_agree(rows["quotient"], (0.1 + 1e-12 * x) / (3 + 2 * x**2), where=rows)


def test_stirling_error(grid):
    rows = grid("stirling")
    assert_agree(rows["stirling_error"], exact_stirling_error(rows["n"]), where=rows)


def test_deviance(grid):
    rows = grid("poisson").query("x > 0")
    assert_agree(rows["deviance"], exact_deviance(rows["x"], rows["mean"]), where=rows)


def test_poisson_probability(grid):
    rows = grid("poisson")
    assert_agree(rows["probability"], exact_poisson(rows["x"], rows["mean"]), where=rows)


def test_binomial_probability(grid):
    # Logarithms of factorials lose digits at n = 1e9; with 50 digits it does not matter.
    rows = grid("binomial")
    assert_agree(rows["probability"], exact_binomial(rows["k"], rows["n"], rows["p"]), where=rows)
    assert_agree(rows["probability"], stats.binom.pmf(rows["k"], rows["n"], rows["p"]), where=rows)


def test_chi_square_tail(grid):
    rows = grid("chi_square_tails")
    rows = rows[rows["degrees_of_freedom"].between(1, 32768) & rows["chi_square"].notna()]
    expected = stats.chi2.sf(rows["chi_square"], rows["degrees_of_freedom"])
    assert expected.min() < 1e-285
    assert_agree(rows["p_value"], expected, where=rows[["degrees_of_freedom", "chi_square"]])
    assert (rows.loc[rows["chi_square"] == 0, "p_value"] == 1).all()


def test_chi_square_tail_without_a_test_is_null(grid):
    rows = grid("chi_square_tails")
    rows = rows[~rows["degrees_of_freedom"].between(1, 32768) | rows["chi_square"].isna()]
    columns = ["degrees_of_freedom", "chi_square", "p_value"]
    assert rows.loc[rows["p_value"].notna(), columns].to_dict("records") == []


@pytest.mark.parametrize("p", TAIL_PROBABILITIES)
def test_binomial_tail_at_rate(grid, p):
    rows = grid("binomial_tails").query("p == @p")
    expected = [binomial_tail(*row) for row in rows[["k", "n", "p"]].astype(float).to_numpy()]
    assert_agree(rows["p_value"], expected, where=rows)
    assert_agree(rows["p_value"], stats.binom.sf(rows["k"] - 1, rows["n"], p), where=rows)


def adjust(p_values: pd.Series, method: str) -> pd.Series:
    """Adjusted p-values by statsmodels, of those that there are."""
    there = p_values.dropna()
    adjusted = multipletests(there, method=method)[1] if len(there) else []
    return pd.Series(adjusted, there.index, dtype=float).reindex(p_values.index)


METHODS = {"holm": "holm", "bh": "fdr_bh"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_adjusted_p_values(grid, method, family):
    rows = grid("adjusted").query("family == @family")
    assert_agree(rows[method], adjust(rows["p_value"], METHODS[method]), where=rows)


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_p_values_of_one_family(grid, method):
    rows = grid("adjusted")
    assert_agree(rows[f"{method}_of_all"], adjust(rows["p_value"], METHODS[method]), where=rows)


@pytest.mark.parametrize("name", ["wilson", "wilson_of_counts"])
@pytest.mark.parametrize(
    ("bound", "exact"), [("low", exact_wilson_low), ("high", exact_wilson_high)]
)
def test_wilson(grid, name, bound, exact):
    # statsmodels subtracts two nearly equal numbers for small bounds; the reference has 50 digits.
    rows = grid(name)
    assert_agree(rows[bound], exact(rows["k"], rows["n"], rows["z"]), where=rows)
    small = rows[(rows["n"] <= 5000) & (rows["k"] > 0)]
    theirs = [
        proportion_confint(row.k, row.n, alpha=2 * stats.norm.sf(row.z), method="wilson")
        for row in small.itertuples()
    ]
    assert_agree(small[bound], [bounds[bound == "high"] for bounds in theirs], where=small)
    assert rows[bound].between(0, 1).all()


def test_wilson_of_nothing_and_of_everything(grid):
    rows = grid("wilson_of_counts")
    assert (rows.loc[rows["k"] == 0, "low"] == 0).all()
    assert (rows.loc[rows["k"] == rows["n"], "high"] == 1).all()


def shrink(users: pd.DataFrame) -> tuple[float, np.ndarray]:
    """The users' correlation by the moments of Kleinman (1973), and their shrunk rates."""
    n = users["events"].to_numpy(float)
    rates = users["violation_events"].to_numpy(float) / n
    overall = users["violation_events"].sum() / users["events"].sum()
    degrees = len(n) - 1
    expected = n.sum() - (n**2).sum() / n.sum() - degrees
    correlation = 0.0
    if 0 < overall < 1 and expected > 0:
        excess = (n * (rates - overall) ** 2).sum() / (overall * (1 - overall)) - degrees
        correlation = float(np.clip(excess / expected, 0, 1))
    weight = n * correlation / (1 + (n - 1) * correlation)
    return correlation, overall + weight * (rates - overall)


@pytest.mark.parametrize("case", USER_CASES)
def test_shrinkage(grid, case):
    rows = grid("shrinkage").query("name == @case")
    correlation, rates = shrink(rows)
    assert_agree(rows["user_correlation"], [correlation] * len(rows))
    assert_agree(rows["shrunk_rate"], rates, where=rows)
    overall = rows["violation_events"].sum() / rows["events"].sum()
    assert_agree(rows["overall_rate"], [overall] * len(rows))


# Hill's expansion is asymptotic: below 5,000 the bounds are the errors that were measured, rounded
# up. The largest stand where p is very small; where it decides anything, they are far less.
@pytest.mark.parametrize(
    ("smallest", "largest", "smallest_p", "tolerance"),
    [
        pytest.param(5000, 10**9, 0, TOLERANCE, id="n from 5000"),
        pytest.param(999, 2000, 0, 2e-7, id="n 999 to 2000"),
        pytest.param(500, 500, 0, 5e-5, id="n 500"),
        pytest.param(15, 300, 0, 1e-3, id="n 15 to 300"),
        pytest.param(15, 2000, 1e-4, 2e-8, id="n from 15, p from 0.0001"),
        pytest.param(5, 10, 0, 6e-3, id="n 5 to 10"),
        pytest.param(4, 4, 0, 3e-2, id="n 4"),
    ],
)
def test_correlation_p_value(grid, smallest, largest, smallest_p, tolerance):
    rows = grid("correlations")
    df = rows["n"] - 2
    t = rows["r"].abs() * np.sqrt(df / ((1 - rows["r"]) * (1 + rows["r"])))
    expected = 2 * stats.t.sf(t, df)
    chosen = rows["n"].between(smallest, largest) & (expected >= smallest_p)
    assert_agree(rows.loc[chosen, "p_value"], expected[chosen], tolerance, where=rows[chosen])


def test_student_tail(grid):
    rows = grid("student_tails")
    expected = 2 * stats.t.sf(rows["t"], rows["degrees_of_freedom"])
    assert expected.min() < 1e-250
    assert_agree(rows["p_value"], expected, where=rows[["t", "degrees_of_freedom"]])


def test_student_quantile(grid):
    rows = grid("student_quantiles")
    expected = -stats.t.isf(rows["probability"], rows["degrees_of_freedom"])
    expected = np.where(rows["probability"] == 0.5, 0.0, expected)
    assert_agree(rows["quantile"], expected, where=rows[["probability", "degrees_of_freedom"]])


def wilson_hilferty(z, df):
    """Quantile of chi-square whose cube root is normal (Wilson and Hilferty, 1931)."""
    variance = 2 / (9 * df)
    return df * (1 - variance + z * np.sqrt(variance)) ** 3


def patnaik(critical, df, z_power):
    """Noncentrality at which mean - z_power sd of noncentral chi-square is the critical value."""
    b = critical - df
    return b + 2 * z_power**2 + np.sqrt((b + 2 * z_power**2) ** 2 - b**2 + 2 * z_power**2 * df)


def test_power_formulas(grid):
    rows = grid("powers")
    df, z_power = rows["degrees_of_freedom"], rows["z_power"]
    assert_agree(rows["critical_value"], wilson_hilferty(rows["z"], df), where=rows)
    assert_agree(rows["noncentrality"], patnaik(rows["critical_value"], df, z_power), where=rows)
    # Mean and variance are df + l and 2 (df + 2 l): at the solution they give the deviate.
    mean = df + rows["noncentrality"]
    deviate = (mean - rows["critical_value"]) / np.sqrt(2 * (mean + rows["noncentrality"]))
    np.testing.assert_allclose(deviate, z_power, rtol=1e-9, atol=1e-9)


def test_power_is_what_it_says(grid):
    rows = grid("powers")
    critical = stats.chi2.isf(rows["tail"], rows["degrees_of_freedom"])
    # Both formulas are approximations: the bounds are the errors that were measured, rounded up.
    assert_agree(rows["critical_value"], critical, 0.035, where=rows)
    reached = stats.ncx2.sf(critical, rows["degrees_of_freedom"], rows["noncentrality"])
    largest = np.abs(reached - rows["power"]).groupby(rows["power"]).max()
    assert (largest < pd.Series({0.5: 0.12, 0.8: 0.02, 0.95: 0.035})).all()


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


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("dimension_verdicts", dimension_verdict),
        ("member_verdicts", member_verdict),
        ("risk_evidence", risk_evidence),
    ],
)
def test_verdicts(grid, name, verdict):
    rows = grid(name)
    expected = [verdict(*row) for row in rows.drop(columns="verdict").itertuples(index=False)]
    wrong = rows.assign(expected=expected)[rows["verdict"] != expected]
    assert wrong.to_dict("records") == []


def percent(fraction: float) -> str:
    return f"{rounded(100.0 * fraction, 1)} %"


def percentage_points(fraction: float) -> str:
    return f"{rounded(100.0 * fraction, 2)} percentage points"


def test_sentences(grid):
    for row in grid("sentences").itertuples():
        assert row.percent == percent(row.fraction)
        assert row.percentage_points == percentage_points(row.fraction)
        assert row.whole_number == "1000000000"
        assert row.power == "80 %"
        assert row.rate_with_interval == (
            f"{percent(row.fraction)} (95 % interval 0.0 % to 50.0 %, n = 1000000000)"
        )


# --- Marts on the seed and on planted effects ----------------------------------------------------

DIMENSIONS = (
    "region",
    "regulation",
    "region_and_regulation",
    "event_type",
    "data_shared",
    "event_hour",
    "concurrent_streams",
    "event_date",
)
METRICS = (
    "is_violation",
    "session_duration_minutes",
    "concurrent_streams",
    "user_age",
    "event_hour",
)


@dataclass
class Build:
    """The marts of a build, and the raw events as pandas reads them."""

    marts: Callable[[str], pd.DataFrame]
    events: pd.DataFrame

    def mart(self, name: str, *key: str) -> pd.DataFrame:
        return self.marts(name).sort_values(list(key), ignore_index=True)


def read_events(path) -> pd.DataFrame:
    """The raw file, with each tested dimension as text in a column `by <dimension>`."""
    events = pd.read_csv(
        path,
        keep_default_na=False,  # 'none' is a level of data sharing
        parse_dates=["timestamp"],
        converters={"session_duration_minutes": float},  # every digit counts
    )
    events["event_hour"] = events["timestamp"].dt.hour
    events["event_date"] = events["timestamp"].dt.normalize()
    events["is_violation"] = events["status"] == "violation"
    events["region_and_regulation"] = events["region"] + " / " + events["regulation"]
    texts = {f"by {dimension}": events[dimension].astype(str) for dimension in DIMENSIONS}
    return events.assign(**texts)


@pytest.fixture(scope="module")
def seed(built_project, marts) -> Build:
    return Build(marts, read_events(built_project.events_file))


@pytest.fixture(scope="module")
def planted_project(new_project):
    """A build of realistic events with known effects, whose users differ, too."""
    project = new_project("planted")
    project.generate_events("--scenario", "realistic", "--events", "60000", "--seed", "3")
    result = project.build()
    assert result.returncode == 0, result.stdout
    return project


@pytest.fixture(scope="module")
def planted(planted_project) -> Build:
    @functools.cache
    def read(name: str) -> pd.DataFrame:
        with planted_project.connect() as connection:
            return connection.sql(f"select * from marts.{name}").df()

    return Build(read, read_events(planted_project.events_file))


@pytest.fixture(scope="module")
def effects(planted_project) -> dict:
    """What was planted, on the scale of log odds."""
    truth = planted_project.events_file.with_suffix(".truth.json")
    return json.loads(truth.read_text())["effects"]


@pytest.fixture(scope="module", params=["seed", "planted"])
def build(request) -> Build:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def overall_rate(build) -> float:
    return build.events["is_violation"].mean()


def counts_by(events: pd.DataFrame, column: str) -> pd.DataFrame:
    """Events and violations of every member."""
    counts = events.groupby(column)["is_violation"].agg(events="size", violation_events="sum")
    return counts.rename_axis("member").reset_index()


def wilson_bounds(counts: pd.DataFrame) -> pd.DataFrame:
    """The intervals of statsmodels, of rows with events."""
    there = counts[counts["events"] > 0]
    low, high = proportion_confint(
        there["violation_events"], there["events"], alpha=1 - CONFIDENCE, method="wilson"
    )
    # At no violation at all, a rounding error of either sign is left.
    low = low.mask(there["violation_events"] == 0, 0.0)
    bounds = pd.DataFrame({"violation_rate_low": low, "violation_rate_high": high})
    return bounds.reindex(counts.index)


def design_effect(events: pd.DataFrame, dimension: str) -> float:
    """Mean design effect of the members' rates with users as clusters (Rao and Scott, 1981)."""
    n_ui = pd.crosstab(events["user_id"], events[f"by {dimension}"]).to_numpy(float)
    violations = events[events["is_violation"]]
    y_ui = pd.crosstab(violations["user_id"], violations[f"by {dimension}"])
    y_ui = y_ui.reindex(
        index=np.unique(events["user_id"]),
        columns=np.unique(events[f"by {dimension}"]),
        fill_value=0,
    ).to_numpy(float)
    n_i = n_ui.sum(axis=0)
    members = len(n_i)
    r_ui = y_ui - n_ui * (y_ui.sum(axis=0) / n_i)
    # Residuals sum to zero: few or unequal users make their squares too small.
    by_member = (r_ui**2).sum(axis=0) / n_i / (1 - (n_ui**2).sum(axis=0) / n_i**2)
    n_u = n_ui.sum(axis=1)
    overall = (r_ui.sum(axis=1) ** 2).sum() / n_u.sum() / (1 - (n_u**2).sum() / n_u.sum() ** 2)
    p = y_ui.sum() / n_u.sum()
    return max(1.0, (by_member.sum() - overall) / ((members - 1) * p * (1 - p)))


@pytest.fixture(scope="module")
def associations(build, overall_rate) -> pd.DataFrame:
    """What violation_associations must hold."""
    rows = []
    for dimension in DIMENSIONS:
        counts = counts_by(build.events, f"by {dimension}")
        crossed = pd.crosstab(build.events[f"by {dimension}"], build.events["is_violation"])
        result = stats.chi2_contingency(crossed, correction=False)
        effect = design_effect(build.events, dimension)
        rows.append(
            {
                "dimension": dimension,
                "members": len(crossed),
                "chi_square": result.statistic,
                "degrees_of_freedom": result.dof,
                "p_value": result.pvalue,
                "clustered_p_value": stats.chi2.sf(result.statistic / effect, result.dof),
                "cramers_v": stats.contingency.association(crossed, method="cramer"),
                "design_effect": effect,
                "sparse": (counts["events"] * overall_rate < MINIMUM_EXPECTED).sum(),
            }
        )
    expected = pd.DataFrame(rows).sort_values("dimension", ignore_index=True)
    expected["p_adjusted"] = adjust(expected["clustered_p_value"], "holm")
    expected["verdict"] = [
        dimension_verdict(row.sparse, row.members, row.p_adjusted) for row in expected.itertuples()
    ]
    return expected


@pytest.mark.parametrize(
    "column",
    [
        "dimension",
        "members",
        "chi_square",
        "degrees_of_freedom",
        "p_value",
        "p_adjusted",
        "cramers_v",
        "design_effect",
        "verdict",
    ],
)
def test_violation_associations(build, associations, column):
    mart = build.mart("violation_associations", "dimension")
    if associations[column].dtype.kind == "f":
        assert_agree(mart[column], associations[column], where=associations)
    else:
        assert mart[column].tolist() == associations[column].tolist()


def expected_tests(build: Build, association, tested_dimensions: int) -> pd.DataFrame:
    """What violation_tests must hold of one dimension."""
    tests = counts_by(build.events, f"by {association.dimension}")
    n, violations = len(build.events), build.events["is_violation"].sum()
    rest = n - tests["events"]
    rest_violations = violations - tests["violation_events"]
    tests["violation_rate"] = tests["violation_events"] / tests["events"]
    tests = tests.join(wilson_bounds(tests))
    tests["rate_difference"] = tests["violation_rate"] - rest_violations / rest
    scores = [
        proportions_ztest([k, violations - k], [events, n - events])
        for k, events in zip(tests["violation_events"], tests["events"], strict=True)
    ]
    tests["p_value"] = [p_value for _, p_value in scores]
    z = np.array([z for z, _ in scores])
    clustered = 2 * stats.norm.sf(np.abs(z) / math.sqrt(association.design_effect))
    tests["p_adjusted"] = adjust(pd.Series(clustered), "holm")

    # Large enough for the member's test, for the dimension's, and to exceed the minimal effect.
    overall = violations / n
    error = np.sqrt(
        association.design_effect * overall * (1 - overall) * (1 / tests["events"] + 1 / rest)
    )
    z_power = stats.norm.ppf(POWER)
    critical = wilson_hilferty(
        stats.norm.isf(ALPHA / tested_dimensions), association.degrees_of_freedom
    )
    demanded = max(
        stats.norm.isf(ALPHA / (2 * len(tests))),
        np.sqrt(patnaik(critical, association.degrees_of_freedom, z_power)) - z_power,
    )
    # The higher rate that would be seen varies more than the pooled one.
    higher = np.minimum(overall + (demanded + z_power) * error, max(overall, 0.5))
    alternative_error = np.sqrt(
        association.design_effect
        * (higher * (1 - higher) / tests["events"] + overall * (1 - overall) / rest)
    )
    tests["detectable_difference"] = (
        np.maximum(demanded * error, MINIMUM_EFFECT) + z_power * alternative_error
    )
    tests["verdict"] = [
        member_verdict(
            row.events * overall,
            (n - row.events) * overall,
            association.verdict,
            row.p_adjusted,
            row.rate_difference,
        )
        for row in tests.itertuples()
    ]
    return tests


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_violation_tests(build, associations, dimension):
    association = next(associations.query("dimension == @dimension").itertuples())
    expected = expected_tests(build, association, len(DIMENSIONS))
    mart = build.mart("violation_tests", "member").query("dimension == @dimension")
    for column in ("member", "events", "violation_events", "verdict"):
        assert mart[column].tolist() == expected[column].tolist()
    for column in (
        "violation_rate",
        "violation_rate_low",
        "violation_rate_high",
        "rate_difference",
        "detectable_difference",
        "p_value",
        "p_adjusted",
    ):
        assert_agree(mart[column], expected[column], where=expected)


BREAKDOWNS = {
    "compliance_by_region": "region",
    "compliance_by_regulation": "regulation",
    "compliance_by_region_and_regulation": "region_and_regulation",
    "compliance_by_event_type": "event_type",
    "compliance_by_data_sharing": "data_shared",
    "compliance_by_hour": "event_hour",
    "compliance_by_concurrent_streams": "concurrent_streams",
    "compliance_by_date": "event_date",
}
STATISTICS = [
    "violation_rate_low",
    "violation_rate_high",
    "rate_difference",
    "detectable_difference",
    "p_value",
    "p_adjusted",
]


@pytest.mark.parametrize("breakdown", BREAKDOWNS)
def test_breakdown_repeats_violation_tests(build, breakdown):
    dimension = BREAKDOWNS[breakdown]
    rows = build.marts(breakdown)
    if dimension == "region_and_regulation":
        members = rows["region"] + " / " + rows["regulation"]
    else:
        members = rows[dimension].astype(str)
    rows = rows.set_index(members)
    tests = build.marts("violation_tests").query("dimension == @dimension").set_index("member")
    assert set(tests.index) == set(rows.index[rows["events"] > 0])
    # Members without events have no statistics, and as little a verdict as partial days.
    expected = tests.reindex(rows.index)
    pd.testing.assert_frame_equal(rows[STATISTICS], expected[STATISTICS], check_names=False)
    verdicts = expected["verdict"].fillna("too_few")
    if "is_partial_day" in rows:
        verdicts = verdicts.mask(rows["is_partial_day"], "too_few")
    assert rows["verdict"].tolist() == verdicts.tolist()


def test_user_risk_tiers_have_intervals_and_no_test(build):
    tiers = build.marts("compliance_by_user_risk_tier")
    bounds = wilson_bounds(tiers)
    for column in bounds:
        assert_agree(tiers[column], bounds[column], where=tiers)
    assert tiers[[*STATISTICS[2:], "verdict"]].isna().all(axis=None)


@pytest.fixture(scope="module")
def users(build, overall_rate) -> pd.DataFrame:
    """What the statistics of dim_users must be."""
    users = counts_by(build.events, "user_id").rename(columns={"member": "user_id"})
    # scipy is exact enough for users of a few hundred events.
    k, n = users["violation_events"], users["events"]
    users["p_value"] = stats.binom.sf(k - 1, n, overall_rate)
    users["p_adjusted"] = adjust(users["p_value"], "fdr_bh")
    users["shrunk_violation_rate"] = shrink(users)[1]
    users["risk_evidence"] = [
        risk_evidence(overall_rate**row.events, row.p_value, row.p_adjusted)
        for row in users.itertuples()
    ]
    return users


@pytest.mark.parametrize("column", ["p_value", "p_adjusted", "shrunk_violation_rate"])
def test_user_statistics(build, users, column):
    mart = build.mart("dim_users", "user_id")
    assert mart["user_id"].tolist() == users["user_id"].tolist()
    assert_agree(mart[column], users[column], where=users)


def test_user_risk_evidence(build, users):
    mart = build.mart("dim_users", "user_id")
    assert mart["risk_evidence"].tolist() == users["risk_evidence"].tolist()


def test_top_risk_users_are_the_first_by_evidence(build):
    order = {
        "p_adjusted": True,
        "p_value": True,
        "shrunk_violation_rate": False,
        "events": False,
        "user_id": True,
    }
    users = build.marts("dim_users").sort_values(list(order), ascending=list(order.values()))
    top = build.mart("top_risk_users", "risk_rank")
    assert top.pop("risk_rank").tolist() == [1, 2, 3, 4, 5]
    expected = users.head(5).reset_index(drop=True)[top.columns]
    pd.testing.assert_frame_equal(top, expected)


@pytest.mark.parametrize(
    ("coefficient", "p_value", "method"),
    [("pearson", "p_value", stats.pearsonr), ("spearman", "spearman_p_value", stats.spearmanr)],
    ids=["pearson", "spearman"],
)
def test_metric_correlations(build, coefficient, p_value, method):
    mart = build.marts("metric_correlations")
    pairs = {frozenset(pair) for pair in zip(mart["metric_x"], mart["metric_y"], strict=True)}
    assert len(mart) == len(pairs) == len(METRICS) * (len(METRICS) - 1) // 2
    assert (mart["events"] == len(build.events)).all()
    results = [
        method(build.events[row.metric_x].astype(float), build.events[row.metric_y].astype(float))
        for row in mart.itertuples()
    ]
    assert_agree(mart[coefficient], [result.statistic for result in results], where=mart)
    assert_agree(mart[p_value], [result.pvalue for result in results], where=mart)


@pytest.fixture(scope="module")
def days(build) -> pd.DataFrame:
    """Events and violations of each day, and whether the data covers all of it."""
    days = build.events.groupby("event_date").agg(
        events=("is_violation", "size"),
        violation_events=("is_violation", "sum"),
        first_hour=("event_hour", "min"),
        last_hour=("event_hour", "max"),
    )
    calendar = pd.date_range(days.index.min(), days.index.max(), name="event_date")
    assert days.index.equals(calendar)
    days["is_whole"] = True
    days.iloc[0, -1] = days["first_hour"].iloc[0] == 0
    days.iloc[-1, -1] = days["is_whole"].iloc[-1] and days["last_hour"].iloc[-1] == 23
    return days


def assert_control_chart(chart: pd.DataFrame, days: pd.DataFrame) -> float:
    """Compare a control chart with the days that it is of; return how much more they vary."""
    judged = days["is_whole"] & (days["events"] > 0)
    n, k = days["events"].where(days["events"] > 0), days["violation_events"]
    center = k[judged].sum() / n[judged].sum()
    sigma = np.sqrt(center * (1 - center) / n)
    z = ((k / n - center) / sigma)[judged].dropna()
    # Laney's p' (2002): 1.128 is the mean range of two standard normal deviates.
    ranges = np.abs(np.diff(z))
    sigma_z = max(1.0, ranges.mean() / (2 / math.sqrt(math.pi)) if len(ranges) else 1.0)
    low, high = center - 3 * sigma_z * sigma, center + 3 * sigma_z * sigma
    week = days[["events", "violation_events"]].rolling(7).sum()

    chart = chart.sort_values("event_date").set_index("event_date")
    assert chart.index.tolist() == days.index.tolist()
    assert_agree(chart["violation_rate"], k / n)
    assert_agree(chart["center_line"], [center] * len(days))
    assert_agree(chart["control_limit_low"], low.clip(lower=0))
    assert_agree(chart["control_limit_high"], high.clip(upper=1))
    assert_agree(chart["violation_rate_7_days"], week["violation_events"] / week["events"])
    assert chart["is_out_of_control"].notna().tolist() == judged.tolist()
    outside = (k / n < low) | (k / n > high)
    assert chart.loc[judged, "is_out_of_control"].tolist() == outside[judged].tolist()
    return sigma_z


def test_control_chart(build, days):
    assert_control_chart(build.marts("violation_control_chart"), days)


# Days as (events, violations), of which the first and the last are partial.
DAY_CASES = {
    "steady": [(200, 10 + i % 3) for i in range(20)],
    "more than chance": [(500 + 7 * i, (5, 60, 20, 90)[i % 4] + i) for i in range(30)],
    "one day far out": [(300, 150 if i == 12 else 15 + i % 2) for i in range(40)],
    "rising": [(400, 10 + 2 * i) for i in range(30)],
    "rising beyond the limits": [(9000, 200 + 20 * i + 9 * (i % 3)) for i in range(30)],
    "two days far out": [(300, 90 if i in (9, 27) else 15 + i % 4) for i in range(30)],
    "days of unlike size": [
        (events, events * (4 + i % 3) // 100) for i, events in enumerate([9000, 500, 90] * 10)
    ],
    "days without events": [(0, 0) if i in (3, 4, 9) else (100, 4 + i % 5) for i in range(15)],
    "a week without events": [(0, 0) if 3 <= i <= 12 else (100, 4 + i % 5) for i in range(20)],
    "three days": [(50, 3)] * 3,
}


def model_over(project, model: str, **inputs: pd.DataFrame) -> pd.DataFrame:
    """Run the SQL that dbt compiled for a model over other inputs, named <schema>__<table>."""
    file = next((project.root / "target" / "compiled").rglob(f"models/**/{model}.sql"))
    with duckdb.connect() as connection:
        connection.sql("attach ':memory:' as ott_build")
        for name, rows in inputs.items():  # noqa: B007 - DuckDB reads the variable `rows`
            schema, input_table = name.split("__")
            connection.sql(f"create schema if not exists ott_build.{schema}")
            connection.sql(f"create table ott_build.{schema}.{input_table} as from rows")
        return connection.sql(file.read_text()).df()


def case_days(case: str) -> pd.DataFrame:
    days = pd.DataFrame(DAY_CASES[case], columns=["events", "violation_events"])
    days.index = pd.date_range("2026-01-01", periods=len(days), name="event_date")
    return days.assign(is_whole=[False, *[True] * (len(days) - 2), False])


@pytest.mark.parametrize("case", DAY_CASES)
def test_control_chart_of_days(built_project, case):
    days = case_days(case)
    rows = days.reset_index().assign(is_partial_day=~days["is_whole"].to_numpy())
    chart = model_over(built_project, "violation_control_chart", intermediate__int_days=rows)
    sigma_z = assert_control_chart(chart, days)
    # On the other data the days vary no more than chance.
    restless = ("more than chance", "one day far out", "two days far out")
    assert (sigma_z > 1) == (case in restless)


def test_control_chart_stands_in_the_days(build):
    by_date = build.mart("compliance_by_date", "event_date")
    chart = build.mart("violation_control_chart", "event_date").drop(columns="center_line")
    pd.testing.assert_frame_equal(by_date[chart.columns], chart)


def line_of(x: np.ndarray, y: np.ndarray, weight: np.ndarray):
    """Return slope, its variance for weights that are inverse variances, residuals, leverages."""
    root = np.sqrt(weight)
    fit = OLS(root * y, root[:, None] * add_constant(x)).fit()
    leverage = fit.get_influence().hat_matrix_diag
    return fit.params[1], fit.normalized_cov_params[1, 1], fit.resid / root, leverage


def assert_trend(
    trend: pd.DataFrame, days: pd.DataFrame, effect: float, chart: pd.DataFrame
) -> None:
    """Compare a trend with the days that it is of and their design effect."""
    numbers = pd.Series(range(len(days)), days.index) / 7
    whole = days["is_whole"] & (days["events"] > 0)
    chart = chart.set_index("event_date")[whole]
    days, x = days[whole].astype({"events": float}), numbers[whole].to_numpy()
    n, k = days["events"].to_numpy(), days["violation_events"].to_numpy(float)
    _, _, residual, leverage = line_of(x, k / n, n)
    margin = chart[["control_limit_low", "control_limit_high"]].sub(chart["center_line"], axis=0)
    # As far from the line through all other days as the limits are from the center.
    is_far = np.abs(residual / (1 - leverage)) > margin.abs().max(axis=1)
    aside = chart["is_out_of_control"].astype(bool) & is_far
    n, k, x = n[~aside], k[~aside], x[~aside]

    # Meta-regression over the days: variance between them by moments, error of Knapp and Hartung.
    rate, freedom = k.sum() / n.sum(), len(n) - 2
    precision = n / (effect * rate * (1 - rate))
    _, _, residual, leverage = line_of(x, k / n, precision)
    excess = (precision * residual**2).sum() - freedom
    between = max(0.0, excess / (precision * (1 - leverage)).sum())
    weight = 1 / (1 / precision + between)
    change, variance, residual, _ = line_of(x, k / n, weight)
    error = math.sqrt(variance * max(1.0, (weight * residual**2).sum() / freedom))

    # The trend is one more test beside those of the dimensions.
    family = len(DIMENSIONS) + 1
    p_value = 2 * stats.t.sf(abs(change / error), freedom)
    period = x.max() - x.min()
    half_width = stats.t.isf((1 - CONFIDENCE) / 2, freedom) * error
    # On average, the larger of two errors is larger than either.
    critical = stats.t.isf(ALPHA / (2 * family), freedom) * error
    critical *= 1 + 1 / (2 * math.sqrt(math.pi * freedom))
    demanded = max(critical, MINIMUM_EFFECT / period)
    expected = {
        "change_per_week": change,
        "change_per_week_low": change - half_width,
        "change_per_week_high": change + half_width,
        "change_over_period": change * period,
        "detectable_change": demanded + stats.t.ppf(POWER, freedom) * error,
        "p_value": p_value,
        "p_adjusted": min(1.0, family * p_value),
    }
    assert len(trend) == 1
    for column, value in expected.items():
        assert_agree(trend[column], [value])
    assert trend.at[0, "days"] == len(n) and trend.at[0, "events"] == n.sum()
    assert trend.at[0, "days_set_aside"] == aside.sum()
    dates = ",".join(days.index[aside].strftime("%Y-%m-%d"))
    assert trend["dates_set_aside"].fillna("").tolist() == [dates]
    is_claimed = family * p_value < ALPHA and abs(change * period) >= MINIMUM_EFFECT
    assert trend.at[0, "verdict"] == ("differs" if is_claimed else "no_evidence")


def test_violation_trend(build, days, associations):
    effect = associations.set_index("dimension").at["event_date", "design_effect"]
    chart = build.marts("violation_control_chart").sort_values("event_date")
    assert_trend(build.marts("violation_trend"), days, effect, chart)


def trend_of(project, days: pd.DataFrame, effect: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run the models of the control chart and of the trend over days."""
    rows = days.reset_index().assign(is_partial_day=~days["is_whole"].to_numpy())
    rows["event_date"] = rows["event_date"].dt.date
    tests = pd.DataFrame({"dimension": DIMENSIONS, "design_effect": effect, "p_value": 0.5})
    chart = model_over(project, "violation_control_chart", intermediate__int_days=rows)
    trend = model_over(
        project,
        "violation_trend",
        intermediate__int_days=rows,
        marts__violation_control_chart=chart,
        marts__violation_associations=tests,
    )
    return trend, chart


@pytest.mark.parametrize("effect", [1.0, 2.5], ids=["no clustering", "clustering"])
@pytest.mark.parametrize("case", [case for case in DAY_CASES if case != "three days"])
def test_violation_trend_of_days(built_project, case, effect):
    days = case_days(case)
    trend, chart = trend_of(built_project, days, effect)
    assert_trend(trend, days, effect, chart)
    is_trend = case in ("rising", "rising beyond the limits")
    assert trend.at[0, "verdict"] == ("differs" if is_trend else "no_evidence")
    assert not is_trend or trend.at[0, "change_per_week_low"] > 0


def test_day_out_of_control_makes_no_trend(built_project):
    """A day with a third of violations at the end of steady ones, and with ten times the events."""
    for events in (200, 2000):
        days = case_days("steady")
        days.loc[days.index[-2], ["events", "violation_events"]] = events, events // 3
        trend, _ = trend_of(built_project, days, 1.0)
        assert trend.at[0, "dates_set_aside"] == "2026-01-19"
        assert trend.at[0, "verdict"] == "no_evidence"


def test_smallest_change_that_matters_is_that_over_the_period(built_project):
    """So many events that the least change is beyond doubt."""
    for percentage_points, verdict in ((0.49, "no_evidence"), (0.51, "differs")):
        days = case_days("steady").assign(events=10_000_000)
        steps = np.linspace(0, percentage_points / 100, 18)
        days.loc[days["is_whole"], "violation_events"] = np.round((0.05 + steps) * 10_000_000)
        trend, _ = trend_of(built_project, days, 1.0)
        assert_agree(trend["change_over_period"], [percentage_points / 100], 1e-4)
        assert trend.at[0, "verdict"] == verdict
        assert trend.at[0, "p_adjusted"] < 1e-9


@pytest.mark.parametrize(
    ("violations", "whole_days"),
    [(0, 18), (50, 18), (5, 2), (5, 1)],
    ids=["no violation", "nothing but violations", "two days", "one day"],
)
def test_trend_that_cannot_be_tested_has_no_p_value(built_project, violations, whole_days):
    days = case_days("steady").assign(events=50, violation_events=violations)
    days = pd.concat([days[: whole_days + 1], days[-1:]])
    trend, _ = trend_of(built_project, days, 1.0)
    assert trend[["p_value", "p_adjusted", "detectable_change"]].isna().all(axis=None)
    assert trend["change_per_week"].isna().all() == (whole_days < 3)
    assert trend.at[0, "verdict"] == "too_few"


@pytest.mark.parametrize(("violations", "verdict"), [(4, "too_few"), (5, "no_evidence")])
@pytest.mark.parametrize("kind", ["violations", "events without one"])
def test_trend_of_few_violations_is_not_judged(built_project, kind, violations, verdict):
    days = case_days("steady").assign(events=50, violation_events=0)
    days.loc[days.index[3 : 3 + violations], "violation_events"] = 1
    if kind != "violations":
        days["violation_events"] = days["events"] - days["violation_events"]
    trend, _ = trend_of(built_project, days, 1.0)
    assert trend.at[0, "verdict"] == verdict


# --- Key findings --------------------------------------------------------------------------------


def rate_with_interval(test) -> str:
    return (
        f"{percent(test.violation_rate)} (95 % interval {percent(test.violation_rate_low)}"
        f" to {percent(test.violation_rate_high)}, n = {test.events})"
    )


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_key_finding_of_dimension(build, associations, dimension):
    """The highest and the lowest member, and the verdict, effect and p-value of the dimension."""
    association = next(associations.query("dimension == @dimension").itertuples())
    finding = next(
        build.mart("key_findings", "display_order").query("topic == @dimension").itertuples()
    )
    tests = build.mart("violation_tests", "violation_rate").query("dimension == @dimension")
    lowest, *_, highest = tests.itertuples()
    assert f"the highest observed is {highest.member} with {rate_with_interval(highest)}, " in (
        finding.finding
    )
    assert f", the lowest {lowest.member} with {rate_with_interval(lowest)}" in finding.finding
    openings = {
        "differs": "The violation rate differs between ",
        "no_evidence": "The data shows no evidence that the violation rate differs between ",
        "too_few": "There are too few violations to compare ",
    }
    assert finding.finding.startswith(openings[association.verdict])
    assert finding.verdict == association.verdict
    assert_agree([finding.effect], [highest.violation_rate - lowest.violation_rate])
    assert_agree([finding.p_adjusted], [association.p_adjusted])


def test_key_findings_of_members(build):
    """Members that differ and every level of data sharing, with the right sign."""
    tests = build.marts("violation_tests")
    tests = tests[(tests["verdict"] == "differs") | (tests["dimension"] == "data_shared")]
    findings = build.marts("key_findings")
    findings = findings[findings["finding"].str.startswith("The violation rate of ")]
    assert len(findings) == len(tests)
    conclusions = {
        "differs": ", more than chance explains.",
        "no_evidence": "; this is no evidence of a difference",
        "too_few": "; too few violations are expected to judge this.",
    }
    for test in tests.itertuples():
        side = "above" if test.rate_difference > 0 else "below"
        said = (
            f" {test.member} is {rate_with_interval(test)}, "
            f"{percentage_points(abs(test.rate_difference))} {side} that of all other events"
            f"{conclusions[test.verdict]}"
        )
        about = findings[
            (findings["topic"] == test.dimension)
            & findings["finding"].str.contains(said, regex=False)
        ]
        assert about[["verdict", "effect", "p_adjusted"]].to_numpy().tolist() == [
            [test.verdict, test.rate_difference, test.p_adjusted]
        ]


def test_key_finding_of_trend(build):
    trend = next(build.marts("violation_trend").itertuples())
    finding = next(build.marts("key_findings").query("topic == 'trend'").itertuples())
    assert (finding.verdict, finding.effect, finding.p_adjusted) == (
        trend.verdict,
        trend.change_per_week,
        trend.p_adjusted,
    )
    outside = build.marts("violation_control_chart")["is_out_of_control"].fillna(False).sum()
    for said in (
        f"over {trend.days} whole days it changed by {'+' if trend.change_per_week > 0 else ''}"
        f"{percentage_points(trend.change_per_week)}",
        f" a week (95 % interval {percentage_points(trend.change_per_week_low)}"
        f" to {percentage_points(trend.change_per_week_high)}, n = {trend.events})",
        f"; {outside} of the days lie outside the control limits",
    ):
        assert said in finding.finding


def test_key_finding_of_users(build, users):
    finding = next(build.marts("key_findings").query("topic == 'high_risk_users'").itertuples())
    confirmed = users[users["risk_evidence"] == "confirmed"]
    if len(confirmed):
        opening = f"{len(confirmed)} of {len(users)} users have more violations than chance"
        assert_agree([finding.effect], [confirmed["shrunk_violation_rate"].max()])
    else:
        opening = f"The data shows no evidence that any of {len(users)} users has more violations"
        assert_agree([finding.effect], [np.nan])
    assert finding.finding.startswith(opening)
    assert_agree([finding.p_adjusted], [users["p_adjusted"].min()])


# --- What the statistics conclude ----------------------------------------------------------------


@pytest.mark.parametrize(
    "mart",
    ["violation_associations", "violation_tests", "violation_trend", "key_findings", *BREAKDOWNS],
)
def test_seed_without_effects_shows_no_difference(seed, mart):
    assert set(seed.marts(mart)["verdict"].dropna()) <= {"no_evidence", "too_few"}


def test_seed_without_effects_confirms_no_user(seed):
    assert "confirmed" not in set(seed.marts("dim_users")["risk_evidence"])


def found_in(build: Build, dimension: str) -> pd.DataFrame:
    tests = build.marts("violation_tests").query("dimension == @dimension")
    return tests.set_index("member")


def said_of(build: Build, dimension: str, member: str) -> str:
    """The key finding about a member, empty if there is none."""
    findings = build.marts("key_findings").query("topic == @dimension")["finding"]
    return " ".join(text for text in findings if f" {member} is " in text)


@pytest.mark.parametrize(
    ("dimension", "member"),
    [("region", "ASIA"), ("region", "AFRICA"), ("data_shared", "full")],
    ids=["ASIA", "AFRICA", "full sharing"],
)
def test_planted_effect_is_found_and_above(planted, effects, dimension, member):
    assert effects[dimension][member] > 0
    test = found_in(planted, dimension).loc[member]
    assert test["verdict"] == "differs"
    assert test["rate_difference"] > 0
    said = said_of(planted, dimension, member)
    assert " above that of all other events, more than chance explains." in said


@pytest.mark.parametrize("dimension", ["region", "data_shared"])
def test_nothing_is_found_above_that_was_not_planted(planted, effects, dimension):
    # Members without an effect may lie below: the rest of the events has one.
    found = found_in(planted, dimension).query("verdict == 'differs'")
    planted_members = {member for member, effect in effects[dimension].items() if effect > 0}
    assert set(found.index[found["rate_difference"] > 0]) <= planted_members
    for member in set(found.index) - planted_members:
        assert " below that of all other events, more than chance" in said_of(
            planted, dimension, member
        )


def test_planted_night_is_found_as_far_as_power_allows(planted, effects):
    night = {str(hour) for hour, effect in enumerate(effects["event_hour"]) if effect > 0}
    assert night == {"0", "1", "2", "3", "4", "5"}
    dimension = planted.marts("violation_associations").set_index("dimension").loc["event_hour"]
    assert dimension["verdict"] == "differs"
    tests = found_in(planted, "event_hour")
    found = tests[tests["verdict"] == "differs"]
    assert set(found.index) <= night and len(found) >= 1
    assert (found["rate_difference"] > 0).all()
    for hour in found.index:
        assert " above that of all other events, more than" in said_of(planted, "event_hour", hour)
    # An effect on the log odds moves the rate by about effect x rate x (1 - rate); what was not
    # found in single hours was too small to be.
    rate = planted.events["is_violation"].mean()
    expected = 1.2 * max(effects["event_hour"]) * rate * (1 - rate)
    missed = tests.loc[sorted(night - set(found.index))]
    assert (missed["detectable_difference"] > expected).all()
    is_night = planted.events["event_hour"] < 6
    assert (
        planted.events.loc[is_night, "is_violation"].mean()
        > planted.events.loc[~is_night, "is_violation"].mean()
    )


@pytest.mark.parametrize("dimension", ["event_type", "concurrent_streams", "event_date"])
def test_dimension_without_planted_effect_does_not_differ(planted, dimension):
    row = planted.marts("violation_associations").set_index("dimension").loc[dimension]
    assert row["verdict"] == "no_evidence"
    assert set(found_in(planted, dimension)["verdict"]) <= {"no_evidence", "too_few"}


def test_planted_users_differ(planted, effects):
    assert effects["user_effect_sd"] > 0
    associations = planted.marts("violation_associations").set_index("dimension")
    # Users keep their region and regulation, so their own effects blur those most.
    assert (associations.loc[["region", "regulation"], "design_effect"] > 1.3).all()
    users = planted.marts("dim_users")
    confirmed = users[users["risk_evidence"] == "confirmed"]
    rate = planted.events["is_violation"].mean()
    assert len(confirmed) >= 1
    assert (confirmed["shrunk_violation_rate"] > rate).all()
    assert (confirmed["shrunk_violation_rate"] < confirmed["violation_rate"]).all()
