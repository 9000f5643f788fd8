"""The key findings in words, from the figures of the oracle."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd

from oracle.intake import read_value
from ott.registry import KNOWN_MEMBERS, registry

SINGULAR = {entry["dimension"]: entry["singular"] for entry in registry("dimensions")}
COLUMNS = ["order", "topic", "finding", "verdict", "effect", "p_adjusted"]


def rounded(number: float, places: int) -> str:
    """Return a number with so many decimals, halves away from zero."""
    return str(Decimal(float(number)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP) + 0)


def percent(fraction: float) -> str:
    """Return a fraction as per cent."""
    return f"{rounded(100.0 * fraction, 1)} %"


def points(fraction: float) -> str:
    """Return a difference of fractions as percentage points."""
    return f"{rounded(100.0 * fraction, 2)} percentage points"


def level(fraction: float) -> str:
    """Return a level such as 0.95 as per cent."""
    return f"{round(100 * fraction, 2):g} %"


def rarer_kind(rate: float) -> str:
    """Return what there is less of."""
    return "events without a violation" if rate > 0.5 else "violations"


def key_findings(oracle) -> pd.DataFrame:
    """Return all findings in their order."""
    rows = [*of_dimensions(oracle), of_trend(oracle), of_users(oracle), *of_input(oracle)]
    found = pd.DataFrame(rows, columns=COLUMNS).astype({"effect": float, "p_adjusted": float})
    found["size"] = -found["effect"].abs()
    found = found.sort_values(["order", "size", "finding"], na_position="last")
    return found.assign(display_order=range(1, len(found) + 1)).drop(columns=["order", "size"])


def rate_of(test, oracle) -> str:
    """Return a rate with its interval."""
    return (
        f"{percent(test.violation_rate)} ({level(oracle.vars['confidence_level'])} interval "
        f"{percent(test.violation_rate_low)} to {percent(test.violation_rate_high)}, "
        f"n = {test.events})"
    )


def of_dimensions(oracle):
    """Yield a finding of each dimension, and of its members that differ or are sharing levels."""
    power = f"with {level(oracle.vars['power'])} power"
    for order, entry in enumerate(registry("tested_dimensions"), start=1):
        name, plural, singular = entry["dimension"], entry["plural"], entry["singular"]
        tests = oracle.tests[oracle.tests["dimension"] == name]
        association = oracle.associations.loc[name]
        few = rarer_kind(tests["violation_events"].sum() / tests["events"].sum())
        opening = {
            "differs": f"The violation rate differs between {plural}",
            "too_few": f"There are too few {few} to compare {plural}",
            "no_evidence": "The data shows no evidence that the violation rate differs between "
            f"{plural}",
        }[association["verdict"]]
        if len(tests) == 1:
            opening = f"There are too few {plural} to compare"
        order_of = {"by": ["violation_rate", "events", "member"]}
        highest = tests.sort_values(**order_of, ascending=[False, False, True]).iloc[0]
        lowest = tests.sort_values(**order_of, ascending=[True, False, True]).iloc[0]
        seen = ""
        if association["verdict"] == "no_evidence":
            detectable = tests["detectable_difference"]
            seen = (
                f"; {power} a difference of {points(detectable.min())} or more would have been seen"
                f" in the largest {singular} and of {points(detectable.max())} in the smallest"
            )
        yield (
            10 * order,
            name,
            f"{opening}: the highest observed is {highest.member} with {rate_of(highest, oracle)}, "
            f"the lowest {lowest.member} with {rate_of(lowest, oracle)}{seen}.",
            association["verdict"],
            highest.violation_rate - lowest.violation_rate,
            association["p_adjusted"],
        )
        for test in tests.itertuples():
            if test.verdict != "differs" and name != "data_shared":
                continue
            compared = ""
            if not math.isnan(test.rate_difference):
                side = "below" if test.rate_difference < 0 else "above"
                compared = f", {points(abs(test.rate_difference))} {side} that of all other events"
            judged = "; this is no evidence of a difference"
            if not math.isnan(test.detectable_difference):
                judged += (
                    f" ({power} one of {points(test.detectable_difference)} would have been seen)"
                )
            judged = {
                "differs": ", more than chance explains",
                "too_few": f"; too few {few} are expected to judge this",
            }.get(test.verdict, judged)
            yield (
                10 * order + 1,
                name,
                f"The violation rate of {singular} {test.member} is {rate_of(test, oracle)}"
                f"{compared}{judged}.",
                test.verdict,
                test.rate_difference,
                test.p_adjusted,
            )


def of_trend(oracle) -> tuple:
    """Return the finding about time."""
    trend, chart = oracle.trend, oracle.control_chart
    change, verdict = trend["change_per_week"], trend["verdict"]
    if trend["days"] < 3:
        sentence = "There are too few whole days to see a trend of the violation rate"
    elif verdict == "too_few":
        few = rarer_kind(chart["center_line"].iloc[0])
        sentence = f"There are too few {few} to see a trend of the violation rate"
    else:
        opening = f"The violation rate {'falls' if change < 0 else 'rises'} over time"
        seen = ""
        if verdict == "no_evidence":
            opening = "The data shows no evidence of a trend of the violation rate over time"
            seen = (
                f"; with {level(oracle.vars['power'])} power a change of "
                f"{points(trend['detectable_change'])} a week would have been seen"
            )
        sentence = (
            f"{opening}: over {trend['days']} whole days it changed by {'+' if change > 0 else ''}"
            f"{points(change)} a week ({level(oracle.vars['confidence_level'])} interval "
            f"{points(trend['change_per_week_low'])} to {points(trend['change_per_week_high'])}, "
            f"n = {trend['events']}){seen}; {chart['is_out_of_control'].eq(True).sum()} of the "
            "days lie outside the control limits"
        )
    if trend["dates_set_aside"]:
        dates = trend["dates_set_aside"].replace(",", ", ")
        sentence += f"; set aside, because no trend explains them: {dates}"
    return 1000, "trend", f"{sentence}.", verdict, change, trend["p_adjusted"]


def of_users(oracle) -> tuple:
    """Return the finding about users."""
    users = oracle.users
    confirmed = users[users["risk_evidence"] == "confirmed"]
    too_few = (users["risk_evidence"] == "too_few_events").sum()
    opening = f"The data shows no evidence that any of {len(users)} users has"
    if len(confirmed):
        opening = f"{len(confirmed)} of {len(users)} users have"
    verdict = "differs" if len(confirmed) else "too_few" if too_few == len(users) else "no_evidence"
    return (
        1100,
        "high_risk_users",
        f"{opening} more violations than chance explains; {(users['risk_tier'] == 'high').sum()} "
        f"are in the risk tier high by their observed rate alone, and {too_few} have so few events "
        "that no outcome could tell.",
        verdict,
        confirmed["shrunk_violation_rate"].max(),
        users["p_adjusted"].min(),
    )


def of_input(oracle):
    """Yield the finding about the raw rows, and one of each member that loses many of them."""
    rejected = oracle.intake.rejected
    share = len(rejected) / oracle.raw_rows
    yield (
        1200,
        "input_quality",
        f"{percent(share)} of the raw rows are quarantined ({len(rejected)} of "
        f"{oracle.raw_rows}), and {oracle.intake.copies} exact copies were dropped; every figure "
        f"speaks for the other {len(oracle.events)}.",
        None,
        share,
        math.nan,
    )
    for column in KNOWN_MEMBERS:
        texts = rejected[column]
        lost = pd.Series([read_value(column, text, oracle.vars)[0] for text in texts], dtype=object)
        counts = pd.DataFrame(
            {"lost": lost.value_counts(), "kept": oracle.events[column].value_counts()}
        ).fillna(0)
        for member, (lost_rows, kept) in counts.astype(int).iterrows():
            share = lost_rows / (lost_rows + kept)
            if share > oracle.vars["maximum_quarantined_share_of_member"]:
                yield (
                    1201,
                    "input_quality",
                    f"Of the raw rows of {SINGULAR.get(column, column)} {member}, {percent(share)} "
                    f"are quarantined ({lost_rows} of {lost_rows + kept}); its figures speak for "
                    "the others only.",
                    None,
                    share,
                    math.nan,
                )
