"""The key findings in words, from the figures of the oracle."""

from __future__ import annotations

import datetime
import math
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd

from oracle.intake import read_value
from ott.registry import KNOWN_MEMBERS, registry

DIMENSIONS = {entry["dimension"]: entry for entry in registry("dimensions")}
MIX = ("event_type", "data_shared")
CLAIMED = ("differs", "explained_by_mix")
SHOWN = 5
COLUMNS = ["order", "topic", "finding", "detail", "verdict", "effect", "p_adjusted"]
UNIT = "\u00a0"


# --- numbers and names ---------------------------------------------------------------------------


def hundredths(fraction: float, size: float) -> str:
    """Return a fraction in hundredths, halves away from zero, the more exact the smaller it is."""
    steps = ((5e-9, 6), (1e-6, 4), (1e-4, 2), (0.01, 1))
    places = 0
    for least, decimals in steps:
        places = decimals if size >= least else places
    step = Decimal(1).scaleb(-places)
    exactly = Decimal(float(100 * fraction)).quantize(Decimal("1e-12"), ROUND_HALF_UP)
    return str(exactly.quantize(step, ROUND_HALF_UP))


def bare_percent(rate: float) -> str:
    """Return a rate in percent without the sign."""
    return hundredths(rate, min(rate, 1 - rate))


def percent(rate: float) -> str:
    """Return a rate as per cent."""
    return f"{bare_percent(rate)}{UNIT}%"


def points(difference: float) -> str:
    """Return the size of a difference of fractions as percentage points."""
    return f"{hundredths(abs(difference), abs(difference))}{UNIT}percentage points"


def direction(change: float) -> str:
    """Return a change in words and points, without their name."""
    return f"a {'fall' if change < -1e-9 else 'rise'} of {hundredths(abs(change), abs(change))}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number of things."""
    return f"{number:,}{UNIT}{one if number == 1 else many or one + 's'}"


def level(fraction: float) -> str:
    """Return a level such as 0.95 as per cent."""
    return f"{round(100 * fraction, 2):g}{UNIT}%"


def written_day(day: datetime.date) -> str:
    """Return a day as one says it."""
    return f"{day.day}{UNIT}{day:%B %Y}"


def name_of(dimension: str, member: str) -> str:
    """Return a member with its unit."""
    if dimension in ("region", "regulation", "region_and_regulation", "weekday"):
        return member
    if dimension == "event_hour":
        return f"hour{UNIT}{member} (UTC)"
    if dimension == "concurrent_streams":
        return counted(int(member), "stream")
    if dimension == "event_date":
        return f"day {written_day(datetime.date.fromisoformat(member))}"
    return f"{DIMENSIONS.get(dimension, {}).get('singular', dimension)} {member}"


def mix_of(dimension: str) -> str:
    """Return within what the members of a dimension are compared."""
    return " and ".join(DIMENSIONS[name]["plural"] for name in MIX if name != dimension)


def rarer_kind(outcome: str, rate: float) -> str:
    """Return what there is less of."""
    return f"events without a {outcome}" if rate > 0.5 else f"{outcome}s"


def first_three(texts: list[str]) -> str:
    """Return the first three days, and how many more there are."""
    if len(texts) > 3:
        return f"{', '.join(texts[:3])} and {counted(len(texts) - 3, 'more day')}"
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def limits(oracle) -> str:
    """Return what claims do not allow for."""
    look = {
        "daily": "somebody who looks at every daily build",
        "single": "a single look at closed data",
    }[oracle.vars["looks"]]
    return (
        "Events of one user count as related; what users share (households, devices, sessions) is "
        f"not counted. The claim holds for {look}."
    )


def is_claimed(p_value: float, oracle) -> bool:
    """Return whether there is evidence by the level of a look."""
    looks = {"single": 1, "daily": 10}[oracle.vars["looks"]]
    return p_value < oracle.vars["alpha"] / looks


# --- all findings --------------------------------------------------------------------------------


def key_findings(oracle) -> pd.DataFrame:
    """Return all findings in their order."""
    rows = [
        *of_dimensions(oracle),
        *of_warnings(oracle),
        of_unusual_days(oracle),
        of_trend(oracle),
        of_users(oracle),
        *of_input(oracle),
    ]
    found = pd.DataFrame(rows, columns=COLUMNS).astype({"effect": float, "p_adjusted": float})
    found["size"] = -found["effect"].abs()
    found = found.sort_values(["order", "size", "finding"], na_position="last")
    return found.assign(display_order=range(1, len(found) + 1)).drop(columns=["order", "size"])


def rate_of(test, oracle) -> str:
    """Return a rate with its interval."""
    low, high = test.outcome_rate_low, test.outcome_rate_high
    return (
        f"{percent(test.outcome_rate)} ({level(oracle.vars['confidence_level'])} interval "
        f"{bare_percent(low)} to {percent(high)}, {counted(test.events, 'event')})"
    )


# --- members and dimensions ----------------------------------------------------------------------


def unusual_days(oracle) -> pd.DataFrame:
    """Return the days out of control."""
    return oracle.control_chart[oracle.control_chart["is_out_of_control"].eq(True)]


def told_elsewhere(oracle) -> dict[tuple[str, str, str], list[str]]:
    """Return by claim told here the names of its others; a claim that is told elsewhere is missing.

    A combination with as many events as one of its parts is that part.
    """
    claims = oracle.tests[oracle.tests["verdict"].isin(CLAIMED)]
    days = {*map(str, unusual_days(oracle)["event_date"])}
    combinations = claims[claims["dimension"] == "region_and_regulation"]
    groups: dict[tuple, list] = {}
    for name in DIMENSIONS:
        for claim in claims[claims["dimension"] == name].itertuples():
            if name == "event_date" and claim.outcome == "violation" and claim.member in days:
                continue
            key = (name, claim.member)
            if name in ("region", "regulation"):
                wholes = [
                    whole.member
                    for whole in combinations.itertuples()
                    if (whole.outcome, whole.verdict) == (claim.outcome, claim.verdict)
                    and whole.events == claim.events
                    and claim.member in whole.member.split(" / ")
                ]
                key = ("region_and_regulation", min(wholes)) if wholes else key
            groups.setdefault((claim.outcome, claim.verdict, key), []).append(claim)
    return {
        (first.dimension, first.member, first.outcome): sorted(
            name_of(other.dimension, other.member) for other in others
        )
        for first, *others in groups.values()
    }


def of_dimensions(oracle):
    """Yield findings of each dimension, and of its members of which something is claimed."""
    told = told_elsewhere(oracle)
    days = [written_day(day) for day in unusual_days(oracle)["event_date"]]
    for order, entry in enumerate(registry("tested_dimensions"), start=1):
        name = entry["dimension"]
        for place, outcome in ((0, "violation"), (2, "warning")):
            of_outcome = {
                table: rows[(rows["dimension"] == name) & (rows["outcome"] == outcome)]
                for table, rows in (("tests", oracle.tests), ("whole", oracle.associations))
            }
            tests, whole = of_outcome["tests"], of_outcome["whole"]
            if whole.empty or (outcome == "warning" and whole["verdict"].iloc[0] not in CLAIMED):
                continue
            claims = tests[tests["verdict"].isin(CLAIMED)]
            claims = claims.assign(size=-claims["rate_difference"].abs())
            claims = claims.sort_values(["size", "member"])
            here = [one for one in claims.itertuples() if (name, one.member, outcome) in told]
            yield (
                10 * order + place,
                name,
                *of_dimension(oracle, entry, tests, whole.iloc[0], claims, here, days),
            )
            for claim in here[:SHOWN]:
                others = told[name, claim.member, outcome]
                yield (
                    10 * order + place + 1,
                    name,
                    *of_member(oracle, entry, claim, others, days),
                )


def of_dimension(oracle, entry, tests, whole, claims, here, days) -> tuple:
    """Return what is said of a dimension."""
    name, plural, outcome = entry["dimension"], entry["plural"], whole["outcome"]
    opening = f"{plural[0].upper()}{plural[1:]} differ in their {outcome} rate"
    judged = tests.assign(last=tests["verdict"] == "too_few")
    by = ["last", "outcome_rate", "events", "member"]
    highest = judged.sort_values(by, ascending=[True, False, False, True]).iloc[0]
    lowest = judged.sort_values(by, ascending=[True, True, False, True]).iloc[0]
    rarer = rarer_kind(outcome, tests["outcome_events"].sum() / tests["events"].sum())
    detail = (
        f"The highest observed is {name_of(name, highest.member)} with {rate_of(highest, oracle)}"
    )
    if highest.member != lowest.member:
        detail += f", the lowest {name_of(name, lowest.member)} with {rate_of(lowest, oracle)}"
    detail += "."
    if whole["verdict"] == "too_few":
        least_users = oracle.vars["minimum_effective_users"]
        least_events = oracle.vars["minimum_expected_violations"]
        finding = f"There are too few {lacking(oracle, name, outcome, rarer, plural)} to compare"
        finding += f" {plural}." if len(tests) > 1 else "."
        detail += (
            f" A member is judged by events of at least {least_users}{UNIT}users and at least "
            f"{least_events}{UNIT}expected {rarer}."
        )
    elif whole["verdict"] == "no_evidence":
        finding = opening.replace("differ", "do not differ", 1) + " more than chance explains."
        if is_claimed(whole["p_adjusted"], oracle):
            finding = f"{opening}, but none stands out from the others by enough to be named."
        detectable = tests["detectable_difference"]
        if detectable.notna().any():
            detail += (
                f" With a probability of {level(oracle.vars['power'])}, a difference of "
                f"{points(detectable.min())} would have been found where there are most events, "
                f"and one of {points(detectable.max())} where there are fewest."
            )
    else:
        different = (tests["verdict"] == "differs").sum()
        finding = f"{opening} only by their mix of {mix_of(name)}."
        if whole["verdict"] == "differs":
            finding = f"{opening} more than chance explains"
            if not whole["differs_without_unusual_days"] and name != "event_date" and days:
                finding += f", but only with {first_three(days)}"
            if not here:
                finding += ", in the same events that other findings name"
            finding += "."
        detail = (
            f"{different} of {len(tests)} {plural} {'differs' if different == 1 else 'differ'} "
            "from the others. "
        )
        if repeated := len(claims) - len(here):
            said = counted(repeated, "member has", "members have")
            detail += f"{said} the events that another finding names. "
        if len(here) > SHOWN:
            detail += f"Named are the {SHOWN} that differ most; all stand in outcome_tests. "
        detail += limits(oracle)
    effect = highest.outcome_rate - lowest.outcome_rate
    return finding, detail, whole["verdict"], effect, whole["p_adjusted"]


def lacking(oracle, name: str, outcome: str, rarer: str, plural: str) -> str:
    """Return what a dimension has too little of, in more than a fifth of its members."""
    rows = oracle.compared
    rows = rows[
        (rows["dimension"] == name) & (rows["outcome"] == outcome) & (rows["days"] == "all")
    ]
    if len(rows) == 1:
        return plural
    expected = rows[["n", "rest"]].min(axis=1) * rows["pooled"].map(
        lambda rate: min(rate, 1 - rate)
    )
    few_events = (expected < oracle.vars["minimum_expected_violations"]).mean() > 0.2
    few_users = rows["few_users"].mean() > 0.2
    return f"users and {rarer}" if few_users and few_events else "users" if few_users else rarer


def of_member(oracle, entry, claim, others: list[str], days: list[str]) -> tuple:
    """Return what is said of a member."""
    name = entry["dimension"]
    finding = (
        f"The {claim.outcome} rate of {name_of(name, claim.member)} is "
        f"{points(claim.rate_difference)} {'below' if claim.rate_difference < 0 else 'above'} "
        f"that of the other {entry['plural']}"
    )
    if claim.verdict == "explained_by_mix":
        finding += f" because of its mix of {mix_of(name)}; within the mix it is not"
    elif not claim.differs_without_unusual_days and name != "event_date" and days:
        finding += f"; without {first_three(days)} this would not be claimed"
    detail = f"The rate is {rate_of(claim, oracle)}."
    if not math.isnan(claim.adjusted_difference):
        side = "below" if claim.adjusted_difference < 0 else "above"
        detail += (
            f" With the same mix of {mix_of(name)} it would be {points(claim.adjusted_difference)} "
            f"{side} the others."
        )
    if others:
        detail += f" These are also all events of {' and '.join(others)}."
    return f"{finding}.", detail, claim.verdict, claim.rate_difference, claim.p_adjusted


def order_of(topic: str) -> int:
    """Return the place of a topic that is no dimension."""
    others = [name for name in registry("finding_topics") if name not in DIMENSIONS]
    return 10 * (len(DIMENSIONS) + others.index(topic) + 1)


def of_warnings(oracle):
    """Yield the finding about warnings that have no other."""
    rows = oracle.associations[oracle.associations["outcome"] == "warning"]
    told = rows["verdict"].isin(CLAIMED).sum()
    judged = rows[rows["verdict"] == "no_evidence"]
    smallest = judged["p_adjusted"].min()
    if told == len(rows):
        return
    finding = "Warning rates do not differ more than chance explains."
    if judged.empty:
        finding = "There are too few warnings or users to compare warning rates."
    elif is_claimed(smallest, oracle):
        finding = "Warning rates differ a little, but nothing stands out by enough to be named."
    elif told:
        finding = "By nothing else do warning rates differ more than chance explains."
    yield (
        order_of("warnings"),
        "warnings",
        finding,
        f"{len(judged)} of {counted(len(rows), 'comparison')} (by region, hour and the like) "
        f"{'shows' if len(judged) == 1 else 'show'} no difference, "
        f"{len(rows) - told - len(judged)} had too little to go by. The rates stand in "
        "outcome_tests.",
        "too_few" if judged.empty else "no_evidence",
        math.nan,
        smallest,
    )


# --- days ----------------------------------------------------------------------------------------


def of_unusual_days(oracle) -> tuple:
    """Return the finding about days out of control."""
    chart, days = oracle.control_chart, unusual_days(oracle)
    judged, center = chart["is_out_of_control"].notna().sum(), chart["center_line"].max()
    rarer = rarer_kind("violation", center)
    texts = [
        f"{written_day(day.event_date)} ({percent(day.violation_rate)}, expected "
        f"{bare_percent(day.control_limit_low)} to {percent(day.control_limit_high)})"
        for day in days.itertuples()
    ]
    finding = "No day has an unusual violation rate."
    if not judged:
        finding = f"There are too few {rarer} a day to tell which days are unusual."
    elif texts:
        finding = counted(len(texts), "day has", "days have")
        finding += f" an unusual violation rate: {first_three(texts)}."
    detail = (
        f"{judged:,} of {counted(len(chart), 'day')} can be judged; incomplete days and those with "
        f"few {rarer} cannot."
    )
    if judged:
        detail = (
            f"{detail[:-1]}. The limits allow for the number of events of a day and for how days "
            f"vary around {percent(center)}; of 1,000 ordinary days, about 3 lie outside by chance."
        )
    effect = (days["violation_rate"] - center).abs().max()
    return order_of("unusual_days"), "unusual_days", finding, detail, None, effect, math.nan


def of_trend(oracle) -> tuple:
    """Return the finding about time."""
    trend, verdict = oracle.trend, oracle.trend["verdict"]
    change = trend["change_per_week"]
    verb, detail = "falls" if change < 0 else "rises", ""
    finding = "The violation rate neither rises nor falls more than chance explains."
    if trend["days"] < 3:
        finding = "There are too few whole days to see a trend of the violation rate."
    elif verdict == "too_few":
        few = rarer_kind("violation", oracle.control_chart["center_line"].max())
        finding = f"There are too few {few} to see a trend of the violation rate."
    else:
        if verdict == "differs":
            finding = f"The violation rate {verb} by {points(change)} a week."
        elif is_claimed(trend["p_adjusted"], oracle):
            finding = f"The violation rate {verb}, but by too little to matter."
        detail = (
            f"Over {counted(trend['days'], 'whole day')} with {counted(trend['events'], 'event')}, "
            f"the change a week was {direction(change)}{UNIT}percentage points "
            f"({level(oracle.vars['confidence_level'])} interval: from "
            f"{direction(trend['change_per_week_low'])} to "
            f"{direction(trend['change_per_week_high'])}). "
        )
        if verdict == "no_evidence" and not math.isnan(trend["detectable_change"]):
            detail += (
                f"With a probability of {level(oracle.vars['power'])}, a change of "
                f"{points(trend['detectable_change'])} a week would have been found. "
            )
    if trend["dates_set_aside"]:
        dates = map(datetime.date.fromisoformat, trend["dates_set_aside"].split(","))
        names = first_three([written_day(day) for day in dates])
        detail += f"Set aside, because no trend explains them: {names}. "
    partial = "Incomplete days and days without events do not count."
    detail += limits(oracle) if verdict == "differs" else partial
    return order_of("trend"), "trend", finding, detail, verdict, change, trend["p_adjusted"]


# --- users and the input -------------------------------------------------------------------------


def of_users(oracle) -> tuple:
    """Return the finding about users."""
    users = oracle.users
    evidence = users["risk_evidence"].value_counts()
    confirmed, few = evidence.get("confirmed", 0), evidence.get("too_few_events", 0)
    finding, verdict = "No user has more violations than chance explains.", "no_evidence"
    if confirmed:
        verdict = "differs"
        finding = counted(confirmed, "user has", "users have")
        finding += " more violations than chance explains."
    elif users.empty:
        verdict, finding = None, "No event has a user."
    elif few == len(users):
        verdict = "too_few"
        finding = (
            "All users have too few events to tell who has more violations than chance explains."
        )
    detail = (
        f"Of {counted(len(users), 'user')}, {evidence.get('watch', 0):,} would stand out alone, as "
        f"some do by chance among many; {few:,} have too few events for any number of violations "
        f"to tell; {(users['risk_tier'] == 'high').sum():,} are in the risk tier high by their "
        "observed rate alone."
    )
    if confirmed:
        query = "select * from dim_users where risk_evidence = 'confirmed'"
        detail = f"To list them: {query}. {detail} {limits(oracle)}"
    return (
        order_of("high_risk_users"),
        "high_risk_users",
        finding,
        detail,
        verdict,
        users["shrunk_violation_rate"].where(users["risk_evidence"] == "confirmed").max(),
        users["p_adjusted"].min(),
    )


def of_input(oracle):
    """Yield the finding about the raw rows, and one of each member that loses many of them."""
    rejected, copies = oracle.intake.rejected, oracle.intake.copies
    share, order = len(rejected) / oracle.raw_rows, order_of("input_quality")
    yield (
        order,
        "input_quality",
        f"{percent(share)} of the raw rows are quarantined."
        if len(rejected)
        else "No raw row is quarantined.",
        f"{len(rejected):,} of {counted(oracle.raw_rows, 'raw row')} "
        f"{'is' if len(rejected) == 1 else 'are'} quarantined and "
        f"{counted(copies, 'exact copy was', 'exact copies were')} dropped. Every figure speaks "
        f"for the other {counted(len(oracle.events), 'event')}.",
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
            share, name = lost_rows / (lost_rows + kept), name_of(column, member)
            if share > oracle.vars["maximum_quarantined_share_of_member"]:
                yield (
                    order + 1,
                    "input_quality",
                    f"{percent(share)} of the raw rows of {name} are quarantined.",
                    f"These are {lost_rows:,} of {counted(lost_rows + kept, 'row')}. The figures "
                    f"of {name} speak for the others only.",
                    None,
                    share,
                    math.nan,
                )
