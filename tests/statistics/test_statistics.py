"""Every statistics macro against scipy, statsmodels and exact sums.

They run over grids of arguments, extremes included, in one dbt run.
"""

import functools
import math
import shutil
from collections.abc import Callable
from itertools import product

import mpmath
import numpy as np
import pandas as pd
import pytest
from mpmath import mpf
from oracle.sentences import percent, points
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

TOLERANCE = 1e-9
# Below this, doubles begin to lose digits, and a probability may as well be zero.
SMALLEST = 1e-300

ALPHA, MINIMUM_EFFECT, MINIMUM_EXPECTED = 0.05, 0.005, 5

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


def exactly(function: Callable[..., mpf]) -> Callable[..., np.ndarray]:
    """Apply a function of exact numbers to doubles, one after another, with 50 digits."""

    def apply(*columns):
        with mpmath.workdps(50):
            rows = zip(*(map(float, column) for column in columns), strict=True)
            return np.array([float(function(*map(mpf, row))) for row in rows])

    return apply


@exactly
def exact_stirling_error(n):
    return mpmath.loggamma(n + 1) - (mpmath.log(2 * mpmath.pi * n) / 2 + n * mpmath.log(n) - n)


@exactly
def exact_deviance(x, mean):
    return x * mpmath.log(x / mean) + mean - x


@exactly
def exact_poisson(x, mean):
    return mpmath.exp(x * mpmath.log(mean) - mean - mpmath.loggamma(x + 1))


@exactly
def exact_binomial(k, n, p):
    ways = mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)
    return mpmath.exp(ways + k * mpmath.log(p) + (n - k) * mpmath.log(1 - p))


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


def wilson_root(k, n, z, side):
    """Solve (k / n - rate)^2 = z^2 rate (1 - rate) / n for the rate."""
    half_width = z * mpmath.sqrt(k * (n - k) / n + z * z / 4)
    # Fifty digits are not enough to cancel to zero.
    return 0 if k == 0 and side < 0 else (k + z * z / 2 + side * half_width) / (n + z * z)


exact_wilson_low = exactly(functools.partial(wilson_root, side=-1))
exact_wilson_high = exactly(functools.partial(wilson_root, side=1))


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

CORRELATED = (
    *(4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 300, 500),
    *(999, 1000, 2000, 5000, 20000, 60000, 10**6, 10**9),
)
COEFFICIENTS = (
    *(0.0, 1e-12, 1e-6, 1e-4, 0.001, 0.01, 0.0316, 0.0317, 0.05, 0.1),
    *(0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
)
CORRELATIONS = table(
    "r n",
    [(sign * r, n) for n in CORRELATED for r in COEFFICIENTS for sign in (1, -1)],
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
    for folder in ("models", "analyses", "tests/invariants"):
        shutil.rmtree(project.root / folder)
    (project.root / "seeds" / "_seeds.yml").unlink()
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


def wilson_hilferty(z, df):
    """Quantile of chi-square whose cube root is normal (Wilson and Hilferty, 1931)."""
    variance = 2 / (9 * df)
    return df * (1 - variance + z * np.sqrt(variance)) ** 3


def patnaik(critical, df, z_power):
    """Noncentrality at which mean - z_power sd of noncentral chi-square is the critical value."""
    b = critical - df
    return b + 2 * z_power**2 + np.sqrt((b + 2 * z_power**2) ** 2 - b**2 + 2 * z_power**2 * df)


# What a column of a grid must be.
EXPECTED = [
    ("deviates", "p", lambda grid: 2 * stats.norm.sf(grid.x)),
    ("deviates", "p_of_negative", lambda grid: 2 * stats.norm.sf(grid.x)),
    ("quantiles", "quantile", lambda grid: -stats.norm.isf(grid.p)),
    ("polynomials", "constant", lambda grid: np.full(len(grid), 7e-30)),
    ("polynomials", "cubic", lambda grid: np.polyval([1 / 3, 0, -2.5, 1], grid.x)),
    ("polynomials", "quotient", lambda grid: (0.1 + 1e-12 * grid.x) / (3 + 2 * grid.x**2)),
    ("stirling", "stirling_error", lambda grid: exact_stirling_error(grid.n)),
    ("poisson", "probability", lambda grid: exact_poisson(grid.x, grid["mean"])),
    # Logarithms of factorials lose digits at n = 1e9; with 50 digits it does not matter.
    ("binomial", "probability", lambda grid: exact_binomial(grid.k, grid.n, grid.p)),
    ("binomial", "probability", lambda grid: stats.binom.pmf(grid.k, grid.n, grid.p)),
    ("wilson", "low", lambda grid: exact_wilson_low(grid.k, grid.n, grid.z)),
    ("wilson", "high", lambda grid: exact_wilson_high(grid.k, grid.n, grid.z)),
    ("wilson_of_counts", "low", lambda grid: exact_wilson_low(grid.k, grid.n, grid.z)),
    ("wilson_of_counts", "high", lambda grid: exact_wilson_high(grid.k, grid.n, grid.z)),
    ("student_tails", "p_value", lambda grid: 2 * stats.t.sf(grid.t, grid.degrees_of_freedom)),
    (
        "student_quantiles",
        "quantile",
        lambda grid: np.where(
            grid.probability == 0.5, 0, -stats.t.isf(grid.probability, grid.degrees_of_freedom)
        ),
    ),
    ("powers", "critical_value", lambda grid: wilson_hilferty(grid.z, grid.degrees_of_freedom)),
    (
        "powers",
        "noncentrality",
        lambda grid: patnaik(grid.critical_value, grid.degrees_of_freedom, grid.z_power),
    ),
]


@pytest.mark.parametrize(("name", "column", "expected"), EXPECTED)
def test_macro(grid, name, column, expected):
    rows = grid(name)
    assert_agree(rows[column], expected(rows), where=rows.select_dtypes("number"))


def test_tails_reach_as_far_as_doubles(grid):
    for name, column in (("deviates", "p"), ("student_tails", "p_value")):
        values = grid(name)[column]
        assert values.max() == 1 and values[values > SMALLEST].min() < 1e-250


def test_deviance(grid):
    rows = grid("poisson").query("x > 0")
    assert_agree(rows["deviance"], exact_deviance(rows["x"], rows["mean"]), where=rows)


def test_chi_square_tail(grid):
    rows = grid("chi_square_tails")
    rows = rows[rows["degrees_of_freedom"].between(1, 32768) & rows["chi_square"].notna()]
    expected = stats.chi2.sf(rows["chi_square"], rows["degrees_of_freedom"])
    assert expected.min() < 1e-285
    assert_agree(rows["p_value"], expected, where=rows[["degrees_of_freedom", "chi_square"]])


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


@pytest.mark.parametrize("bound", ["low", "high"])
def test_wilson(grid, bound):
    rows = grid("wilson")
    # statsmodels subtracts two nearly equal numbers for small bounds.
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


def test_power_formulas(grid):
    rows = grid("powers")
    # Mean and variance are df + l and 2 (df + 2 l): at the solution they give the deviate.
    mean = rows["degrees_of_freedom"] + rows["noncentrality"]
    deviate = (mean - rows["critical_value"]) / np.sqrt(2 * (mean + rows["noncentrality"]))
    np.testing.assert_allclose(deviate, rows["z_power"], rtol=1e-9, atol=1e-9)


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


def test_sentences(grid):
    for row in grid("sentences").itertuples():
        assert row.percent == percent(row.fraction)
        assert row.percentage_points == points(row.fraction)
        assert row.whole_number == "1000000000"
        assert row.power == "80 %"
        assert row.rate_with_interval == (
            f"{percent(row.fraction)} (95 % interval 0.0 % to 50.0 %, n = 1000000000)"
        )
