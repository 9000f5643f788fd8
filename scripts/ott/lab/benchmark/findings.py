"""The small tables, from counts that fit on a page: what with_pandas and with_polars share.

Statistics come from scipy. Rates and shares are fractions, durations minutes, moments UTC; a row is
a dict, and None stands where a figure has no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations, pairwise

import numpy as np
from scipy import special

from ott.lab.benchmark.reference import METRICS, known, registry, seed, variables

Row = dict[str, object]

# --- what is counted -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A member of a dimension; `variance` is that of an event with users as clusters."""

    events: int
    warning_events: int
    violation_events: int
    users: int
    variance: float | None

    @property
    def compliant_events(self) -> int:
        """All other events."""
        return self.events - self.warning_events - self.violation_events

    @property
    def rate(self) -> float:
        """The violation rate."""
        return self.violation_events / self.events


@dataclass(frozen=True)
class Dimension:
    """The members of a dimension by their text, and the variance over all of them."""

    members: dict[str, Member]
    overall_variance: float | None


@dataclass(frozen=True)
class Day:
    """A day's events; the hours are those of the first and the last, None without events."""

    date: date
    events: int = 0
    violation_events: int = 0
    first_hour: int | None = None
    last_hour: int | None = None
    is_partial: bool = False


@dataclass(frozen=True)
class Users:
    """One number a user in every array."""

    user_id: np.ndarray
    events: np.ndarray
    warning_events: np.ndarray
    violation_events: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """What the violations of each user say, one entry a user in every array."""

    violation_rate: np.ndarray
    risk_tier: np.ndarray
    p_value: np.ndarray
    p_adjusted: np.ndarray
    shrunk_violation_rate: np.ndarray
    risk_evidence: np.ndarray


@dataclass(frozen=True)
class Counts:
    """All that the small tables are made of. The correlations are matrices over `METRICS`."""

    raw_rows: int
    accepted_rows: int
    quarantined_rows: int
    exact_copies_dropped: int
    rejections: dict[str, int]
    dimensions: dict[str, Dimension]
    days: list[Day]
    users: Users
    judgement: Judgement
    session_statistics: Row
    average_concurrent_streams: float
    median_user_age: float
    pearson: np.ndarray
    spearman: np.ndarray
    session_durations: tuple[np.ndarray, np.ndarray]
    user_ages: np.ndarray


def clustered_variance(
    squared_residuals: float, events: float, squared_events: float
) -> float | None:
    """Return the variance of an event with users as clusters, from sums over users.

    None for a single user.
    """
    correction = 1 - squared_events / events**2
    return squared_residuals / events / correction if correction else None


def small_tables(counts: Counts) -> dict[str, list[Row]]:
    """Return every table of the schema marts without a row an event or a user."""
    days = whole_period(counts.days)
    associations = violation_associations(counts.dimensions)
    tests = violation_tests(counts.dimensions, associations)
    chart = violation_control_chart(days)
    trend = violation_trend(days, chart, associations)
    tables = {
        "quarantine_by_rejection_reason": quarantine_by_rejection_reason(counts),
        "violation_associations": list(associations.values()),
        "violation_tests": tests,
        "violation_control_chart": chart,
        "violation_trend": [trend],
        "metric_correlations": metric_correlations(counts),
        "session_duration_statistics": [counts.session_statistics],
        **breakdowns(counts, tests, days, chart),
        "compliance_by_status": by_status(counts.users),
        "compliance_by_user_risk_tier": by_risk_tier(counts),
        **histograms(counts),
    }
    tables["compliance_summary"] = compliance_summary(counts, tables)
    tables["key_findings"] = key_findings(counts, tests, associations, trend, chart)
    return tables


# --- statistics ----------------------------------------------------------------------------------


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def _two_sided_p(z: float | None) -> float | None:
    return None if z is None else float(special.erfc(abs(z) / math.sqrt(2)))


def _normal_quantile(probability: float) -> float:
    return float(special.ndtri(probability))


def _confidence_z() -> float:
    return _normal_quantile((1 + variables()["confidence_level"]) / 2)


def _power_z() -> float:
    return _normal_quantile(variables()["power"])


def _wilson(successes: int, trials: int) -> tuple[float, float] | tuple[None, None]:
    """Return the score interval of a rate (Wilson, 1927)."""
    if trials == 0:
        return None, None
    z = _confidence_z()

    def low(count: int) -> float:
        root = math.sqrt(count * (trials - count) / trials + z * z / 4)
        return count * count / (trials * (count + z * z / 2 + z * root))

    return low(successes), 1 - low(trials - successes)


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted by Holm (1979); None belongs to no family."""
    order = sorted(
        (place for place, p in enumerate(p_values) if p is not None), key=lambda i: p_values[i]
    )
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, p_values[place] * (len(order) - rank))
        adjusted[place] = min(1.0, highest)
    return adjusted


def judge(users: Users) -> Judgement:
    """Test the violations of every user against the overall rate and shrink the users' rates.

    Exact binomial tests, adjusted by Benjamini and Hochberg (1995); the correlation within users
    is that of Kleinman (1973).
    """
    chosen = variables()
    events, violations = users.events.astype(float), users.violation_events.astype(float)
    rate = violations / events
    overall = violations.sum() / events.sum()
    tier = np.where(
        rate > chosen["high_risk_above"],
        "high",
        np.where(rate > chosen["medium_risk_above"], "medium", "low"),
    )

    # The binomial tail is an incomplete beta function.
    tail = special.betainc(np.maximum(violations, 1), events - violations + 1, overall)
    p_value = np.where(violations > 0, tail, 1.0)
    order = np.argsort(p_value, kind="stable")
    steps = p_value[order] * p_value.size / np.arange(1, p_value.size + 1)
    p_adjusted = np.empty_like(p_value)
    p_adjusted[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])

    binomial = overall * (1 - overall)
    expected = rate.size - 1
    excess = (violations * rate).sum() - overall * violations.sum()
    weight = events.sum() - (events**2).sum() / events.sum() - expected
    correlation = (excess / binomial - expected) / weight if binomial and weight else 0.0
    correlation = min(1.0, max(0.0, correlation))
    shrunk = overall + (rate - overall) * events * correlation / (1 + (events - 1) * correlation)

    alpha = chosen["alpha"]
    evidence = np.select(
        [overall**events >= alpha, p_adjusted < alpha, p_value < alpha],
        ["too_few_events", "confirmed", "watch"],
        "typical",
    )
    return Judgement(rate, tier, p_value, p_adjusted, shrunk, evidence)


def top_users(users: Users, judgement: Judgement) -> np.ndarray:
    """Return the places of the users with the strongest evidence, the strongest first."""
    order = np.lexsort(
        (
            users.user_id,
            -users.events,
            -judgement.shrunk_violation_rate,
            judgement.p_value,
            judgement.p_adjusted,
        )
    )
    return order[: variables()["top_risk_users"]]


def violation_associations(dimensions: dict[str, Dimension]) -> dict[str, Row]:
    """Return the chi-square test of each dimension, corrected as by Rao and Scott (1981)."""
    minimum = variables()["minimum_expected_violations"]
    rows = {}
    for name, dimension in dimensions.items():
        members = dimension.members.values()
        freedom = len(members) - 1
        events = sum(member.events for member in members)
        rate = sum(member.violation_events for member in members) / events
        binomial = rate * (1 - rate)
        variances = [member.variance for member in members if member.variance is not None]
        effect = 1.0
        if variances and dimension.overall_variance is not None and freedom * binomial:
            mean = sum(variances) / len(variances)
            effect = max(
                1.0, (len(members) * mean - dimension.overall_variance) / (freedom * binomial)
            )
        chi_square = _ratio(
            sum(member.events * (member.rate - rate) ** 2 for member in members), binomial
        )
        is_testable = chi_square is not None and freedom > 0
        rows[name] = {
            "dimension": name,
            "members": len(members),
            "chi_square": chi_square,
            "degrees_of_freedom": freedom,
            "p_value": float(special.chdtrc(freedom, chi_square)) if is_testable else None,
            "p_adjusted": float(special.chdtrc(freedom, chi_square / effect))
            if is_testable
            else None,
            "cramers_v": None if chi_square is None else math.sqrt(chi_square / events),
            "design_effect": effect,
            "verdict": "too_few"
            if not is_testable
            or 5 * sum(member.events * min(rate, 1 - rate) < minimum for member in members)
            > len(members)
            else "no_evidence",
        }
    adjusted = _holm([row["p_adjusted"] for row in rows.values()])
    for row, p_adjusted in zip(rows.values(), adjusted, strict=True):
        row["p_adjusted"] = p_adjusted
        if row["verdict"] != "too_few":
            row["verdict"] = "differs" if p_adjusted < variables()["alpha"] else "no_evidence"
    return rows


def violation_tests(dimensions: dict[str, Dimension], associations: dict[str, Row]) -> list[Row]:
    """Return the test of each member against the rest of its dimension."""
    chosen = variables()
    alpha, least = chosen["alpha"], chosen["minimum_effect_percentage_points"] / 100
    minimum = chosen["minimum_expected_violations"]
    power_z = _power_z()
    dimension_z = _normal_quantile(1 - alpha / len(registry("tested_dimensions")))
    rows = []
    for name, dimension in dimensions.items():
        association = associations[name]
        effect, freedom = association["design_effect"], association["degrees_of_freedom"]
        total = sum(member.events for member in dimension.members.values())
        violations = sum(member.violation_events for member in dimension.members.values())
        pooled = violations / total
        binomial = pooled * (1 - pooled)
        family, errors = [], []
        for text, member in dimension.members.items():
            rest = total - member.events
            difference, error = None, None
            if rest:
                difference = member.rate - (violations - member.violation_events) / rest
                error = math.sqrt(binomial * (1 / member.events + 1 / rest))
            z = difference / error if error else None
            low, high = _wilson(member.violation_events, member.events)
            family.append(
                {
                    "dimension": name,
                    "member": text,
                    "events": member.events,
                    "violation_events": member.violation_events,
                    "violation_rate": member.rate,
                    "violation_rate_low": low,
                    "violation_rate_high": high,
                    "rate_difference": difference,
                    "detectable_difference": None,
                    "p_value": _two_sided_p(z),
                    "p_adjusted": None if z is None else _two_sided_p(z / math.sqrt(effect)),
                }
            )
            errors.append(error)
        adjusted = _holm([row["p_adjusted"] for row in family])
        size = sum(p is not None for p in adjusted)
        critical = _normal_quantile(1 - alpha / (2 * max(size, 1)))
        for row, error, p_adjusted in zip(family, errors, adjusted, strict=True):
            rest = total - row["events"]
            detectable = None
            if error:
                clustered = error * math.sqrt(effect)
                demanded = max(critical, _demanded_by_dimension(freedom, dimension_z, power_z))
                higher = min(pooled + (demanded + power_z) * clustered, max(pooled, 0.5))
                alternative = math.sqrt(
                    effect * (higher * (1 - higher) / row["events"] + binomial / rest)
                )
                detectable = max(demanded * clustered, least) + power_z * alternative
            row["detectable_difference"] = detectable
            row["p_adjusted"] = p_adjusted
            if min(row["events"], rest) * min(pooled, 1 - pooled) < minimum:
                row["verdict"] = "too_few"
            elif (
                association["verdict"] == "differs"
                and p_adjusted is not None
                and p_adjusted < alpha
                and abs(row["rate_difference"]) >= least
            ):
                row["verdict"] = "differs"
            else:
                row["verdict"] = "no_evidence"
        rows += family
    return rows


def _demanded_by_dimension(freedom: int, dimension_z: float, power_z: float) -> float:
    """Return how many standard errors the chi-square test asks for (Patnaik, 1949)."""
    # Wilson and Hilferty (1931)
    part = 2 / (9 * freedom)
    excess = freedom * (1 - part + dimension_z * math.sqrt(part)) ** 3 - freedom
    half = excess + 2 * power_z**2
    noncentrality = half + math.sqrt(half**2 - excess**2 + 2 * power_z**2 * freedom)
    return math.sqrt(noncentrality) - power_z


def metric_correlations(counts: Counts) -> list[Row]:
    """Return both coefficients of every pair of metrics with their p-values by Student's t."""
    events = counts.accepted_rows

    def known_number(value: float) -> float | None:
        return None if math.isnan(value) else float(value)

    def p_value(value: float | None) -> float | None:
        if value is None or events <= 3:
            return None
        t = math.inf if value * value >= 1 else value * math.sqrt((events - 2) / (1 - value**2))
        return 2 * float(special.stdtr(events - 2, -abs(t)))

    rows = []
    for x, y in combinations(range(len(METRICS)), 2):
        pearson = known_number(counts.pearson[x, y])
        spearman = known_number(counts.spearman[x, y])
        rows.append(
            {
                "metric_x": METRICS[x],
                "metric_y": METRICS[y],
                "events": events,
                "pearson": pearson,
                "spearman": spearman,
                "p_value": p_value(pearson),
                "spearman_p_value": p_value(spearman),
            }
        )
    return rows


# --- days ----------------------------------------------------------------------------------------


def whole_period(days: Iterable[Day]) -> list[Day]:
    """Return every day from the first to the last, those without events as well."""
    by_date = {day.date: day for day in days}
    if not by_date:
        return []
    first, last = min(by_date), max(by_date)
    period = []
    for number in range((last - first).days + 1):
        day = by_date.get(first + timedelta(days=number), Day(first + timedelta(days=number)))
        is_partial = (day.date == first and day.first_hour > 0) or (
            day.date == last and day.last_hour < 23
        )
        period.append(
            Day(day.date, day.events, day.violation_events, None, None, is_partial=is_partial)
        )
    return period


def violation_control_chart(days: list[Day]) -> list[Row]:
    """Return each day's violation rate with the limits of Laney (2002)."""
    whole = [day for day in days if not day.is_partial and day.events]
    center = _ratio(sum(day.violation_events for day in whole), sum(day.events for day in whole))
    if center is None:
        return []
    binomial = center * (1 - center)
    moving: list[float] = []
    if binomial:
        z = [
            (day.violation_events / day.events - center) / math.sqrt(binomial / day.events)
            for day in whole
        ]
        moving = [abs(later - earlier) for earlier, later in pairwise(z)]
    mean_of_normal_ranges = 2 / math.sqrt(math.pi)
    sigma = max(1.0, sum(moving) / len(moving) / mean_of_normal_ranges) if moving else 1.0
    rows = []
    for number, day in enumerate(days):
        rate = _ratio(day.violation_events, day.events)
        margin = 3 * sigma * math.sqrt(binomial / day.events) if day.events else None
        week = days[number - 6 : number + 1] if number >= 6 else []
        is_judged = not day.is_partial and margin is not None
        rows.append(
            {
                "event_date": day.date,
                "violation_rate": rate,
                "violation_rate_7_days": _ratio(
                    sum(day.violation_events for day in week), sum(day.events for day in week)
                ),
                "center_line": center,
                "control_limit_low": None if margin is None else max(0.0, center - margin),
                "control_limit_high": None if margin is None else min(1.0, center + margin),
                "is_out_of_control": abs(rate - center) > margin if is_judged else None,
            }
        )
    return rows


@dataclass(frozen=True)
class Line:
    """A line of weighted least squares, its variance where weights are inverse variances."""

    slope: float
    variance: float
    residual: np.ndarray
    leverage: np.ndarray

    @classmethod
    def through(cls, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Line:
        """Return the line through at least two points with different x."""
        design = np.column_stack([np.ones_like(x), x])
        inverse = np.linalg.inv(design.T @ (weight[:, None] * design))
        coefficients = inverse @ design.T @ (weight * y)
        leverage = weight * np.einsum("ij,jk,ik->i", design, inverse, design)
        return cls(coefficients[1], inverse[1, 1], y - design @ coefficients, leverage)


def violation_trend(days: list[Day], chart: list[Row], associations: dict[str, Row]) -> Row:
    """Return the linear trend by meta-regression over the days (Knapp and Hartung, 2003)."""
    judged = [
        (day, number / 7, row)
        for number, (day, row) in enumerate(zip(days, chart, strict=True))
        if row["is_out_of_control"] is not None
    ]
    events = np.array([day.events for day, _, _ in judged], float)
    violations = np.array([day.violation_events for day, _, _ in judged], float)
    x = np.array([weeks for _, weeks, _ in judged])
    is_aside = np.zeros(len(judged), bool)
    if len(judged) > 2:
        line = Line.through(x, violations / events, events)
        for place, (_, _, row) in enumerate(judged):
            margin = max(
                row["control_limit_high"] - row["center_line"],
                row["center_line"] - row["control_limit_low"],
            )
            is_far = abs(line.residual[place]) > (1 - line.leverage[place]) * margin
            is_aside[place] = row["is_out_of_control"] and is_far
    dates = ",".join(
        str(day.date) for (day, _, _), aside in zip(judged, is_aside, strict=True) if aside
    )
    kept = ~is_aside
    trend: Row = {
        "days": int(kept.sum()),
        "events": int(events[kept].sum()),
        "days_set_aside": int(is_aside.sum()),
        "dates_set_aside": dates or None,
        "change_per_week": None,
        "change_per_week_low": None,
        "change_per_week_high": None,
        "change_over_period": None,
        "detectable_change": None,
        "p_value": None,
        "p_adjusted": None,
        "verdict": "too_few",
    }
    if kept.sum() < 3:
        return trend
    _fit_trend(
        trend, x[kept], events[kept], violations[kept], associations["event_date"]["design_effect"]
    )
    return trend


def _fit_trend(
    trend: Row, x: np.ndarray, events: np.ndarray, violations: np.ndarray, design_effect: float
) -> None:
    """Fill in what three days or more tell."""
    chosen = variables()
    tests, alpha = len(registry("tested_dimensions")) + 1, chosen["alpha"]
    least = chosen["minimum_effect_percentage_points"] / 100
    freedom, period = len(x) - 2, x.max() - x.min()
    y, rate = violations / events, violations.sum() / events.sum()
    event_variance = design_effect * rate * (1 - rate)
    line = Line.through(x, y, events)
    between = 0.0
    if event_variance:
        excess = (events * line.residual**2).sum() / event_variance - freedom
        between = max(0.0, excess / (events * (1 - line.leverage)).sum())
    weight = events / (1 + events * between)
    line = Line.through(x, y, weight)
    change = float(line.slope)
    error = math.sqrt(
        line.variance * max(event_variance, (weight * line.residual**2).sum() / freedom)
    )

    def quantile(probability: float) -> float:
        return float(special.stdtrit(freedom, probability))

    half_width = quantile((1 + chosen["confidence_level"]) / 2) * error
    trend["change_per_week"] = change
    trend["change_per_week_low"] = change - half_width
    trend["change_per_week_high"] = change + half_width
    trend["change_over_period"] = change * period
    if not error:
        return
    larger_of_two = 1 + 1 / (2 * math.sqrt(math.pi * freedom))
    critical = quantile(1 - alpha / (2 * tests)) * error * larger_of_two
    trend["detectable_change"] = max(critical, least / period) + quantile(chosen["power"]) * error
    trend["p_value"] = 2 * float(special.stdtr(freedom, -abs(change / error)))
    trend["p_adjusted"] = min(1.0, tests * trend["p_value"])
    if min(violations.sum(), (events - violations).sum()) >= chosen["minimum_expected_violations"]:
        is_claimed = trend["p_adjusted"] < alpha and abs(change * period) >= least
        trend["verdict"] = "differs" if is_claimed else "no_evidence"


# --- breakdowns ----------------------------------------------------------------------------------

STATISTICS = (
    "violation_rate_low",
    "violation_rate_high",
    "rate_difference",
    "detectable_difference",
    "p_value",
    "p_adjusted",
)


def _measures(counted: Member | None, total: int) -> Row:
    if counted is None:
        counted = Member(0, 0, 0, 0, None)
    return {
        "events": counted.events,
        "compliant_events": counted.compliant_events,
        "warning_events": counted.warning_events,
        "violation_events": counted.violation_events,
        "users": counted.users,
        "event_share": _ratio(counted.events, total),
        "compliant_rate": _ratio(counted.compliant_events, counted.events),
        "warning_rate": _ratio(counted.warning_events, counted.events),
        "violation_rate": _ratio(counted.violation_events, counted.events),
    }


def breakdowns(
    counts: Counts, tests: list[Row], days: list[Day], chart: list[Row]
) -> dict[str, list[Row]]:
    """Return the breakdowns by the tested dimensions, with all known members."""
    by_member = {(row["dimension"], row["member"]): row for row in tests}

    def breakdown(
        dimension: str, members: Iterable[tuple[str, Row]], after: Callable[[str], Row]
    ) -> list[Row]:
        rows = []
        for member, names in members:
            test = by_member.get((dimension, member), {})
            rows.append(
                {
                    **names,
                    **_measures(
                        counts.dimensions[dimension].members.get(member), counts.accepted_rows
                    ),
                    **{column: test.get(column) for column in STATISTICS},
                    "verdict": test.get("verdict", "too_few"),
                    **after(member),
                }
            )
        return rows

    def by_known_members(column: str) -> list[Row]:
        order = {member: place for place, member in enumerate(known(column), start=1)}
        return breakdown(
            column,
            ((member, {column: member}) for member in order),
            lambda member: {"display_order": order[member]},
        )

    nothing: Callable[[str], Row] = lambda member: {}  # noqa: E731
    by_date = breakdown(
        "event_date", ((str(day.date), {"event_date": day.date}) for day in days), nothing
    )
    for row, day, limits in zip(by_date, days, chart, strict=True):
        row["verdict"] = "too_few" if day.is_partial else row["verdict"]
        row["is_partial_day"] = day.is_partial
        for column in (
            "violation_rate_7_days",
            "control_limit_low",
            "control_limit_high",
            "is_out_of_control",
        ):
            row[column] = limits[column]
    return {
        "compliance_by_region": by_known_members("region"),
        "compliance_by_regulation": by_known_members("regulation"),
        "compliance_by_event_type": by_known_members("event_type"),
        "compliance_by_data_sharing": by_known_members("data_shared"),
        "compliance_by_region_and_regulation": breakdown(
            "region_and_regulation",
            (
                (f"{region} / {regulation}", {"region": region, "regulation": regulation})
                for region in known("region")
                for regulation in known("regulation")
            ),
            nothing,
        ),
        "compliance_by_hour": breakdown(
            "event_hour", ((str(hour), {"event_hour": hour}) for hour in range(24)), nothing
        ),
        "compliance_by_concurrent_streams": breakdown(
            "concurrent_streams",
            (
                (streams, {"concurrent_streams": int(streams)})
                for streams in counts.dimensions["concurrent_streams"].members
            ),
            nothing,
        ),
        "compliance_by_date": by_date,
    }


def by_status(users: Users) -> list[Row]:
    """Return events and users of each status."""
    total = int(users.events.sum())
    events_by_status = {
        "compliant": users.events - users.warning_events - users.violation_events,
        "warning": users.warning_events,
        "violation": users.violation_events,
    }
    return [
        {
            "status": row["status"],
            "events": int(events_by_status[row["status"]].sum()),
            "users": int((events_by_status[row["status"]] > 0).sum()),
            "event_share": _ratio(int(events_by_status[row["status"]].sum()), total),
            "display_order": int(row["display_order"]),
            "color": row["color"],
        }
        for row in seed("statuses")
    ]


def by_risk_tier(counts: Counts) -> list[Row]:
    """Return the breakdown by the users' risk tier, which is not tested."""
    rows = []
    for tier in seed("risk_tiers"):
        chosen = counts.judgement.risk_tier == tier["risk_tier"]
        member = Member(
            int(counts.users.events[chosen].sum()),
            int(counts.users.warning_events[chosen].sum()),
            int(counts.users.violation_events[chosen].sum()),
            int(chosen.sum()),
            None,
        )
        low, high = _wilson(member.violation_events, member.events)
        rows.append(
            {
                "risk_tier": tier["risk_tier"],
                **_measures(member, counts.accepted_rows),
                **dict.fromkeys(STATISTICS),
                "violation_rate_low": low,
                "violation_rate_high": high,
                "verdict": None,
                "display_order": int(tier["display_order"]),
            }
        )
    return rows


def quarantine_by_rejection_reason(counts: Counts) -> list[Row]:
    """Return the quarantined rows of each reason."""
    return [
        {
            "rejection_reason": row["rejection_reason"],
            "description": row["description"],
            "quarantined_rows": counts.rejections.get(row["rejection_reason"], 0),
            "raw_row_share": _ratio(
                counts.rejections.get(row["rejection_reason"], 0), counts.raw_rows
            ),
            "display_order": int(row["display_order"]),
        }
        for row in registry("rejection_reasons")
    ]


# --- distributions -------------------------------------------------------------------------------


def histograms(counts: Counts) -> dict[str, list[Row]]:
    """Return the three histograms."""
    durations, copies = counts.session_durations
    return {
        "session_duration_histogram": _histogram("session_duration", durations, copies),
        "user_age_histogram": _histogram("user_age", counts.user_ages, None),
        "user_violation_rate_histogram": _histogram(
            "user_violation_rate", counts.judgement.violation_rate, None
        ),
    }


def _histogram(name: str, values: np.ndarray, copies: np.ndarray | None) -> list[Row]:
    frequencies, edges = np.histogram(values, bins=variables()[f"{name}_bins"], weights=copies)
    return [
        {
            "bin_number": number,
            "bin_start": float(edges[number - 1]),
            "bin_end": float(edges[number]),
            "frequency": int(frequency),
        }
        for number, frequency in enumerate(frequencies, start=1)
    ]


# --- summary and sentences -----------------------------------------------------------------------


def compliance_summary(counts: Counts, tables: dict[str, list[Row]]) -> list[Row]:
    """Return the headline figures."""

    def first(table: str, member: str, measure: str) -> object:
        rows = [row for row in tables[table] if row["events"]]
        return min(rows, key=lambda row: (-row[measure], row[member]))[member]

    def highest(table: str, measure: str) -> object:
        return max(row[measure] for row in tables[table] if row[measure] is not None)

    def covered(table: str, member: str) -> str:
        return ",".join(sorted(row[member] for row in tables[table] if row["events"]))

    def rate(table: str, member: str, name: str) -> float | None:
        return next(row["violation_rate"] for row in tables[table] if row[member] == name)

    dates = [day.date for day in counts.days]
    full, none = (rate("compliance_by_data_sharing", "data_shared", x) for x in ("full", "none"))
    tiers = {row["risk_tier"]: row for row in tables["compliance_by_user_risk_tier"]}
    figures: dict[str, object] = {
        "total_events": counts.accepted_rows,
        "unique_users": counts.users.events.size,
        "first_event_date": str(min(dates)),
        "last_event_date": str(max(dates)),
        "regions_covered": covered("compliance_by_region", "region"),
        "regulations_tracked": covered("compliance_by_regulation", "regulation"),
        "average_session_duration_minutes": counts.session_statistics["mean_minutes"],
        "average_concurrent_streams": counts.average_concurrent_streams,
        "median_user_age": counts.median_user_age,
        "high_risk_users": tiers["high"]["users"],
        "peak_traffic_hour": first("compliance_by_hour", "event_hour", "events"),
        "peak_traffic_hour_events": highest("compliance_by_hour", "events"),
        "highest_violation_hour": first("compliance_by_hour", "event_hour", "violation_rate"),
        "highest_violation_hour_rate": highest("compliance_by_hour", "violation_rate"),
        "highest_violation_region": first("compliance_by_region", "region", "violation_rate"),
        "best_compliance_region": first("compliance_by_region", "region", "compliant_rate"),
        "highest_violation_regulation": first(
            "compliance_by_regulation", "regulation", "violation_rate"
        ),
        "highest_violation_regulation_rate": highest("compliance_by_regulation", "violation_rate"),
        "highest_violation_data_sharing": first(
            "compliance_by_data_sharing", "data_shared", "violation_rate"
        ),
        "full_minus_none_sharing_rate": None if None in (full, none) else full - none,
        "most_common_event_type": first("compliance_by_event_type", "event_type", "events"),
        "most_common_event_type_events": highest("compliance_by_event_type", "events"),
        "raw_rows": counts.raw_rows,
        "accepted_rows": counts.accepted_rows,
        "quarantined_rows": counts.quarantined_rows,
        "exact_copies_dropped": counts.exact_copies_dropped,
        "quarantined_share": _ratio(counts.quarantined_rows, counts.raw_rows),
    }
    for row in tables["compliance_by_status"]:
        figures[f"{row['status']}_events"] = row["events"]
        figures[f"{row['status']}_rate"] = row["event_share"]

    rows = []
    for metric in registry("headline_metrics"):
        shared = {"section": metric["section"]}
        ending = {"unit": metric["unit"], "description": metric["description"]}
        place = int(metric["display_order"])
        if metric["metric"] == "violation_rate_of_region":
            named = [
                (f"violation_rate_{row['region'].lower()}", place + order, row["violation_rate"])
                for order, row in enumerate(tables["compliance_by_region"], start=1)
            ]
        else:
            named = [(metric["metric"], place, figures[metric["metric"]])]
        for name, order, value in named:
            is_text = isinstance(value, str)
            rows.append(
                {
                    **shared,
                    "metric": name,
                    "display_order": order,
                    "value_number": None if is_text or value is None else float(value),
                    "value_text": value if is_text else None,
                    **ending,
                }
            )
    return rows


def _decimal(number: float, places: int) -> str:
    """Return a number with so many decimals, halves rounded away from zero."""
    units = math.floor(abs(number) * 10**places + 0.5)
    text = f"{units // 10**places}.{units % 10**places:0{places}d}"
    return f"-{text}" if number < 0 and units else text


def _percent(fraction: float) -> str:
    return f"{_decimal(100 * fraction, 1)} %"


def _points(fraction: float) -> str:
    return f"{_decimal(100 * fraction, 2)} percentage points"


def _percent_of(variable: str) -> str:
    return f"{round(100 * variables()[variable], 2):g} %"


def _rate_with_interval(row: Row) -> str:
    return (
        f"{_percent(row['violation_rate'])} ({_percent_of('confidence_level')} interval "
        f"{_percent(row['violation_rate_low'])} to {_percent(row['violation_rate_high'])}, "
        f"n = {row['events']})"
    )


def key_findings(
    counts: Counts,
    tests: list[Row],
    associations: dict[str, Row],
    trend: Row,
    chart: list[Row],
) -> list[Row]:
    """Return the sentences in their order."""
    found = [
        *_about_dimensions(tests, associations),
        *_about_members(tests),
        _about_trend(trend, chart),
        _about_users(counts.judgement),
        _about_input(counts),
    ]
    found.sort(
        key=lambda row: (
            row["display_order"],
            math.inf if row["effect"] is None else -abs(row["effect"]),
            row["finding"],
        )
    )
    return [{**row, "display_order": place} for place, row in enumerate(found, start=1)]


def _finding(
    order: int,
    topic: str,
    finding: str,
    verdict: str | None,
    effect: float | None,
    p_adjusted: float | None,
) -> Row:
    return {
        "display_order": order,
        "topic": topic,
        "finding": finding,
        "verdict": verdict,
        "effect": effect,
        "p_adjusted": p_adjusted,
    }


def _rarer_kind(violation_rate: float) -> str:
    return "events without a violation" if violation_rate > 0.5 else "violations"


def _rarer_kind_among(members: Sequence[Row]) -> str:
    violations = sum(row["violation_events"] for row in members)
    return _rarer_kind(violations / sum(row["events"] for row in members))


def _about_dimensions(tests: list[Row], associations: dict[str, Row]) -> Iterable[Row]:
    openings = {
        "differs": "The violation rate differs between ",
        "no_evidence": "The data shows no evidence that the violation rate differs between ",
    }
    for dimension in registry("tested_dimensions"):
        name = dimension["dimension"]
        members = [row for row in tests if row["dimension"] == name]
        if not members:
            continue
        verdict, plural = associations[name]["verdict"], dimension["plural"]
        if len(members) == 1:
            opening = f"There are too few {plural} to compare"
        elif verdict == "too_few":
            opening = f"There are too few {_rarer_kind_among(members)} to compare {plural}"
        else:
            opening = f"{openings[verdict]}{plural}"
        highest = min(
            members, key=lambda row: (-row["violation_rate"], -row["events"], row["member"])
        )
        lowest = min(
            members, key=lambda row: (row["violation_rate"], -row["events"], row["member"])
        )
        detectable = [
            row["detectable_difference"]
            for row in members
            if row["detectable_difference"] is not None
        ]
        power = ""
        if verdict == "no_evidence" and detectable:
            power = (
                f"; with {_percent_of('power')} power a difference of {_points(min(detectable))} "
                f"or more would have been seen in the largest {dimension['singular']} and of "
                f"{_points(max(detectable))} in the smallest"
            )
        yield _finding(
            10 * int(dimension["display_order"]),
            name,
            f"{opening}: the highest observed is "
            f"{highest['member']} with {_rate_with_interval(highest)}, the lowest "
            f"{lowest['member']} with {_rate_with_interval(lowest)}{power}.",
            verdict,
            highest["violation_rate"] - lowest["violation_rate"],
            associations[name]["p_adjusted"],
        )


def _about_members(tests: list[Row]) -> Iterable[Row]:
    dimensions = {row["dimension"]: row for row in registry("tested_dimensions")}
    for row in tests:
        if row["verdict"] != "differs" and row["dimension"] != "data_shared":
            continue
        dimension = dimensions[row["dimension"]]
        difference = row["rate_difference"]
        compared = ""
        if difference is not None:
            side = "below" if difference < 0 else "above"
            compared = f", {_points(abs(difference))} {side} that of all other events"
        if row["verdict"] == "differs":
            judged = ", more than chance explains"
        elif row["verdict"] == "too_few":
            family = [other for other in tests if other["dimension"] == row["dimension"]]
            judged = f"; too few {_rarer_kind_among(family)} are expected to judge this"
        else:
            judged = "; this is no evidence of a difference"
            if row["detectable_difference"] is not None:
                judged += (
                    f" (with {_percent_of('power')} power one of "
                    f"{_points(row['detectable_difference'])} would have been seen)"
                )
        yield _finding(
            10 * int(dimension["display_order"]) + 1,
            row["dimension"],
            f"The violation rate of {dimension['singular']} {row['member']} is "
            f"{_rate_with_interval(row)}{compared}{judged}.",
            row["verdict"],
            difference,
            row["p_adjusted"],
        )


def _about_trend(trend: Row, chart: list[Row]) -> Row:
    change = trend["change_per_week"]
    if trend["days"] < 3:
        sentence = "There are too few whole days to see a trend of the violation rate"
    elif trend["verdict"] == "too_few":
        kind = _rarer_kind(chart[0]["center_line"])
        sentence = f"There are too few {kind} to see a trend of the violation rate"
    else:
        if trend["verdict"] != "differs":
            opening = "The data shows no evidence of a trend of the violation rate over time"
            power = (
                f"; with {_percent_of('power')} power a change of "
                f"{_points(trend['detectable_change'])} a week would have been seen"
            )
        else:
            opening = f"The violation rate {'falls' if change < 0 else 'rises'} over time"
            power = ""
        outside = sum(bool(row["is_out_of_control"]) for row in chart)
        sentence = (
            f"{opening}: over {trend['days']} whole days it changed by {'+' if change > 0 else ''}"
            f"{_points(change)} a week ({_percent_of('confidence_level')} interval "
            f"{_points(trend['change_per_week_low'])} to {_points(trend['change_per_week_high'])}, "
            f"n = {trend['events']}){power}; {outside} of the days lie outside the control limits"
        )
    if trend["dates_set_aside"]:
        dates = trend["dates_set_aside"].replace(",", ", ")
        sentence += f"; set aside, because no trend explains them: {dates}"
    return _finding(100, "trend", f"{sentence}.", trend["verdict"], change, trend["p_adjusted"])


def _about_users(judgement: Judgement) -> Row:
    users = judgement.risk_evidence.size
    is_confirmed = judgement.risk_evidence == "confirmed"
    confirmed = int(is_confirmed.sum())
    too_few = int((judgement.risk_evidence == "too_few_events").sum())
    high = int((judgement.risk_tier == "high").sum())
    if confirmed:
        opening = f"{confirmed} of {users} users have more violations than chance explains"
    else:
        opening = (
            f"The data shows no evidence that any of {users} users has more violations than "
            "chance explains"
        )
    verdict = "differs" if confirmed else "too_few" if too_few == users else "no_evidence"
    return _finding(
        110,
        "high_risk_users",
        f"{opening}; {high} are in the risk tier high by their observed rate alone, and "
        f"{too_few} have so few events that no outcome could tell.",
        verdict,
        float(judgement.shrunk_violation_rate[is_confirmed].max()) if confirmed else None,
        float(judgement.p_adjusted.min()),
    )


def _about_input(counts: Counts) -> Row:
    share = _ratio(counts.quarantined_rows, counts.raw_rows)
    return _finding(
        120,
        "input_quality",
        f"{_percent(share or 0)} of the raw rows are quarantined ({counts.quarantined_rows} of "
        f"{counts.raw_rows}), and {counts.exact_copies_dropped} exact copies were dropped; every "
        f"figure speaks for the other {counts.accepted_rows}.",
        None,
        share,
        None,
    )
