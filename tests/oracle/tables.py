"""Every public mart of raw rows, of which one at least is accepted, as data frames.

They have the columns of the marts but those that are looked up and not computed (descriptions,
units, colours, display orders). Rates and shares are fractions, durations minutes; nan is null.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.api import OLS, add_constant
from statsmodels.stats.contingency_tables import StratifiedTable
from statsmodels.stats.multitest import multipletests

from oracle import sentences
from oracle.intake import judge
from ott.registry import METRICS, OPTIONAL, known, registry, variables

STATUSES = ("compliant", "warning", "violation")
OUTCOMES = ("violation", "warning")
STATUS_EVENTS = [f"{status}_events" for status in STATUSES]
DIMENSIONS = {entry["dimension"]: entry for entry in registry("tested_dimensions")}
SLICES = {
    "compliance_by_region": ["region"],
    "compliance_by_regulation": ["regulation"],
    "compliance_by_region_and_regulation": ["region", "regulation"],
    "compliance_by_event_type": ["event_type"],
    "compliance_by_data_sharing": ["data_shared"],
    "compliance_by_hour": ["event_hour"],
    "compliance_by_concurrent_streams": ["concurrent_streams"],
    "compliance_by_age_band": ["age_band"],
    "compliance_by_weekday": ["weekday"],
    "compliance_by_date": ["event_date"],
    "compliance_by_user_risk_tier": ["risk_tier"],
}


def is_unknown(members: pd.Index) -> np.ndarray:
    """Return which members are made of a value that is missing."""
    return np.array(["unknown" in str(member).split(" / ") for member in members], bool)


def ratio(numerator, denominator):
    """Divide; nan where the denominator is zero."""
    return numerator / np.where(np.equal(denominator, 0), np.nan, denominator)


def adjusted(p_values, method: str = "holm") -> np.ndarray:
    """Return p-values adjusted as one family; nan belongs to none."""
    found = np.array(p_values, float)
    there = ~np.isnan(found)
    if there.any():
        found[there] = multipletests(found[there], method=method)[1]
    return found


def shrunk(events: pd.Series, violations: pd.Series) -> pd.Series:
    """Return the rates of users, drawn towards that of all of them.

    The correlation of two events of a user is by the moments of Kleinman (1973).
    """
    rates, overall, degrees = violations / events, violations.sum() / events.sum(), len(events) - 1
    expected = events.sum() - (events.astype(float) ** 2).sum() / events.sum() - degrees
    correlation = 0.0
    if 0 < overall < 1 and expected > 0:
        spread = (events * (rates - overall) ** 2).sum() / (overall * (1 - overall))
        correlation = float(np.clip((spread - degrees) / expected, 0, 1))
    weight = events * correlation / (1 + (events - 1) * correlation)
    return overall + weight * (rates - overall)


def wilson_hilferty(z, freedom):
    """Return the quantile of chi-square whose cube root is normal (1931); 0 without freedom."""
    part = 2 / (9 * np.maximum(freedom, 1))
    return freedom * np.maximum(0, 1 - part + z * np.sqrt(part)) ** 3


def paulson(z, freedom, denominator):
    """Return the quantile of F as a ratio of cube roots that are normal (1942); nan if none."""
    h, k = 2 / (9 * freedom), 2 / (9 * denominator)
    rest = (1 - k) ** 2 - z**2 * k
    root = (1 - k) ** 2 * h + (1 - h) ** 2 * k - z**2 * h * k
    found = ((1 - h) * (1 - k) + z * np.sqrt(root)) / rest
    return found**3 if rest > 0 else math.nan


def wallace(z, freedom):
    """Return about the quantile of Student's t (1959)."""
    exponent = (z * (8 * freedom + 3) / (8 * freedom + 1)) ** 2 / freedom
    return np.sqrt(freedom * np.expm1(exponent))


def effective(events: pd.Series) -> float:
    """Return how many clusters of one size would tell as much as these (Kish, 1965)."""
    return events.sum() ** 2 / (events.astype(float) ** 2).sum()


def clustered_variance(residuals: pd.Series, events: pd.Series) -> float:
    """Return the variance of an event with users as clusters; nan for a single user."""
    total = events.sum()
    correction = 1 - (events**2).sum() / total**2
    return (residuals**2).sum() / total / correction if len(events) > 1 else math.nan


class Oracle:
    """All figures that the project gives for raw rows of text, None where a value is missing."""

    def __init__(self, raw: pd.DataFrame, **changed: object) -> None:
        """Take the rows, and variables that are not as in dbt_project.yml."""
        self.vars = {**variables(), **changed}
        self.raw_rows = len(raw)
        self.intake = judge(raw, self.vars)
        self.events = self.intake.events

    def marts(self) -> dict[str, pd.DataFrame]:
        """Return every mart but those that list what the registry says."""
        return {
            "fct_compliance_events": self.events,
            "quarantined_compliance_events": self.intake.rejected,
            "quarantine_by_rejection_reason": self.quarantine_by_reason,
            "dim_users": self.users,
            "top_risk_users": self.top_risk_users,
            "outcome_associations": self.associations,
            "outcome_tests": self.tests,
            "violation_associations": self.of_violations(self.associations),
            "violation_tests": self.of_violations(self.tests),
            "violation_control_chart": self.control_chart,
            "violation_trend": pd.DataFrame([self.trend]),
            "metric_correlations": self.correlations,
            "session_duration_statistics": self.session_statistics,
            **self.histograms,
            "compliance_by_member": self.by_member,
            **{name: self.slice_of(name) for name in SLICES},
            "compliance_by_status": self.by_status,
            "compliance_summary": self.summary,
            "key_findings": sentences.key_findings(self),
        }

    # --- counts ----------------------------------------------------------------------------------

    @cached_property
    def quarantine_by_reason(self) -> pd.DataFrame:
        said = self.intake.rejected["rejection_reasons"].str.split(",").explode().value_counts()
        reasons = pd.Series([row["rejection_reason"] for row in registry("rejection_reasons")])
        rows = pd.DataFrame({"rejection_reason": reasons})
        rows["quarantined_rows"] = reasons.map(said).fillna(0).astype(int)
        return rows.assign(raw_row_share=rows["quarantined_rows"] / self.raw_rows)

    def member_of(self, dimension: str) -> pd.Series:
        """Return the member of each event as text."""
        columns = DIMENSIONS[dimension]["columns"]
        texts = [self.events[column].astype("string").fillna("unknown") for column in columns]
        return texts[0].str.cat(texts[1:], sep=" / ").rename("member")

    @cached_property
    def dimensions(self) -> dict[str, pd.DataFrame]:
        """Of each member with events: outcomes, users, how many count, and variances over them.

        And of the dimension, in `attrs`, from the residuals from the rates of the members. An event
        without a user stands for itself, and one of an unknown member takes no part.
        """
        found = {}
        events = self.events.astype("string")
        user = events["user_id"].fillna("event " + events["event_id"]).rename("user")
        for name in DIMENSIONS:
            by_user = pd.crosstab([self.member_of(name), user], events["status"] + "_events")
            by_user = by_user.reindex(columns=STATUS_EVENTS, fill_value=0)
            by_user["events"] = by_user.sum(axis=1)
            groups = by_user.groupby("member")
            members = groups.sum()
            is_user = ~by_user.index.get_level_values("user").str.startswith("event ")
            members["users"] = by_user[is_user].groupby("member").size()
            members["users"] = members["users"].fillna(0).astype(int)
            members["effective_users"] = groups["events"].agg(effective)
            for outcome in OUTCOMES:
                rate = (members[f"{outcome}_events"] / members["events"]).rename("rate")
                expected = by_user["events"] * by_user.join(rate, on="member")["rate"]
                by_user[outcome] = by_user[f"{outcome}_events"] - expected
            is_known = ~is_unknown(by_user.index.get_level_values("member"))
            whole_users = by_user[is_known].groupby("user").sum()
            members.attrs["effective_users"] = effective(whole_users["events"])
            for outcome in OUTCOMES:
                members[f"{outcome}_variance"] = [
                    clustered_variance(users[outcome], users["events"]) for _, users in groups
                ]
                members.attrs[outcome] = clustered_variance(
                    whole_users[outcome], whole_users["events"]
                )
            found[name] = members
        return found

    def measures(self, counts: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that breakdowns begin with, from their counts."""
        rates = {
            f"{status}_rate": ratio(counts[f"{status}_events"], counts["events"])
            for status in STATUSES
        }
        counts = counts[["events", *STATUS_EVENTS, "users"]]
        return counts.assign(event_share=counts["events"] / len(self.events), **rates)

    # --- users -----------------------------------------------------------------------------------

    @cached_property
    def users(self) -> pd.DataFrame:
        events = self.events.sort_values("event_id")
        events["is_warning"] = events["status"] == "warning"
        users = events.groupby("user_id", as_index=False).agg(
            user_age=("user_age", "first"),
            events=("event_id", "size"),
            violation_events=("is_violation", "sum"),
            warning_events=("is_warning", "sum"),
            average_session_duration_minutes=("session_duration_minutes", "mean"),
            average_concurrent_streams=("concurrent_streams", "mean"),
            first_event_at=("occurred_at", "min"),
            last_event_at=("occurred_at", "max"),
        )
        users = users.astype({"events": int, "average_concurrent_streams": float})
        n, k = users["events"], users["violation_events"]
        overall = k.sum() / n.sum()
        bounds = [-1, self.vars["medium_risk_above"], self.vars["high_risk_above"], 1]
        users["violation_rate"] = k / n
        users["risk_tier"] = pd.cut(k / n, bounds, labels=known("risk_tier")).astype(str)
        # Of what a user does on a day, only so much is independent.
        size = 1 / self.dispersion
        users["p_value"] = special.betainc(
            np.maximum(k, 1e-9) * size, (n - k) * size + 1, overall
        ).where(k > 0, 1.0)
        users["p_adjusted"] = stats.false_discovery_control(users["p_value"])
        users["shrunk_violation_rate"] = shrunk(n, k)
        is_large = k / n - overall >= self.least_effect
        users["risk_evidence"] = np.select(
            [
                overall ** (n * size) >= self.level,
                (users["p_adjusted"] < self.level) & is_large,
                users["p_value"] < self.level,
            ],
            ["too_few_events", "confirmed", "watch"],
            "typical",
        )
        return users

    @cached_property
    def dispersion(self) -> float:
        """How much more the days of a user vary than independent events of that user would."""
        of_days = self.events.groupby(["user_id", "event_date"])["is_violation"]
        days = of_days.agg(n="size", k="sum").astype(float)
        users = days.groupby("user_id").transform("sum")
        rate = users["k"] / users["n"]
        between = ((days["k"] - days["n"] * rate) ** 2).sum()
        # The unbiased variance of an event of the user, and the degrees of freedom of the days.
        of_event = ratio(users["k"] * (1 - rate), users["n"] - 1)
        expected = (of_event * days["n"] * (1 - days["n"] / users["n"])).sum()
        return max(1.0, between / expected) if expected > 0 else 1.0

    @cached_property
    def top_risk_users(self) -> pd.DataFrame:
        order = ["p_adjusted", "p_value", "shrunk_violation_rate", "events", "user_id"]
        ranked = self.users.sort_values(order, ascending=[True, True, False, False, True])
        top = ranked.head(self.vars["top_risk_users"])
        return top.assign(risk_rank=range(1, len(top) + 1))

    # --- members ---------------------------------------------------------------------------------

    @property
    def level(self) -> float:
        """Return the level of one look."""
        return self.vars["alpha"] / {"single": 1, "daily": 10}[self.vars["looks"]]

    @property
    def least_effect(self) -> float:
        return self.vars["minimum_effect_percentage_points"] / 100

    @staticmethod
    def of_violations(rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of one outcome, its columns named by it."""
        rows = rows[rows["outcome"] == "violation"].drop(columns="outcome")
        return rows.rename(columns=lambda name: name.replace("outcome", "violation"))

    @cached_property
    def compared(self) -> pd.DataFrame:
        """Known members beside the rest, by outcome, over all days and over those in control."""
        is_unusual = self.control_chart["is_out_of_control"].eq(True).to_numpy()
        usual = ~self.events["event_date"].isin(self.days.index[is_unusual])
        partial_days = [*map(str, self.days.index[self.days["is_partial"]])]
        parts = []
        for name, all_members in self.dimensions.items():
            members = all_members[~is_unknown(all_members.index)]
            member = self.member_of(name)
            for outcome, (days, chosen) in product(
                OUTCOMES, [("all", slice(None)), ("usual", usual)]
            ):
                has_outcome = (self.events["status"] == outcome)[chosen].groupby(member[chosen])
                rows = has_outcome.agg(n="size", k="sum").reindex(members.index).dropna()
                rate = members[f"{outcome}_events"].sum() / members["events"].sum()
                variance = members[f"{outcome}_variance"].mean() * len(members)
                variance -= all_members.attrs[outcome]
                effect = ratio(variance, (len(members) - 1) * rate * (1 - rate))
                freedom = all_members.attrs["effective_users"] - 1
                parts.append(
                    rows.assign(
                        dimension=name,
                        outcome=outcome,
                        days=days,
                        design_effect=np.fmax(1.0, effect),
                        denominator_degrees=freedom if freedom > 0 else math.nan,
                        few_users=members["effective_users"] < self.vars["minimum_effective_users"],
                    ).reset_index()
                )
        rows = pd.concat(parts, ignore_index=True)
        rows["denominator_degrees"] = rows["denominator_degrees"].astype(float)
        sums = rows.groupby(["dimension", "outcome", "days"])[["n", "k"]].transform("sum")
        n, k, rest = rows["n"], rows["k"], sums["n"] - rows["n"]
        pooled, least = sums["k"] / sums["n"], self.vars["minimum_expected_violations"]
        rarer = np.minimum(pooled, 1 - pooled)
        is_partial = (rows["dimension"] == "event_date") & rows["member"].isin(partial_days)
        return rows.assign(
            rest=rest,
            pooled=pooled,
            difference=k / n - ratio(sums["k"] - k, rest),
            error=np.sqrt(pooled * (1 - pooled) * (1 / n + ratio(1, rest))),
            is_countable=n * rarer >= 1,
            is_sparse=rows["few_users"] | (np.minimum(n, rest) * rarer < least) | is_partial,
            sparse_cells=((n * pooled < least).astype(int) + (n * (1 - pooled) < least)).mask(
                rows["few_users"], 2
            ),
        )

    @cached_property
    def association_tests(self) -> pd.DataFrame:
        """Chi-square tests, with users as clusters by Rao and Scott (1981) and by F."""
        rows = []
        for keys, members in self.compared.groupby(["dimension", "outcome", "days"], sort=False):
            chi_square = pearson(members)
            counted = members[members["is_countable"]]
            freedom = len(counted) - 1
            effect, denominator = members[["design_effect", "denominator_degrees"]].iloc[0]
            p_value = math.nan
            if freedom > 0:
                p_value = stats.f.sf(pearson(counted) / effect / freedom, freedom, denominator)
            rows.append(
                {
                    **dict(zip(("dimension", "outcome", "days"), keys, strict=True)),
                    "members": len(members),
                    "chi_square": chi_square,
                    "degrees_of_freedom": len(members) - 1,
                    "denominator_degrees": denominator,
                    "p_value": stats.chi2.sf(chi_square, len(members) - 1),
                    "p_adjusted": p_value,
                    "cramers_v": np.sqrt(chi_square / members["n"].sum()),
                    "design_effect": effect,
                    "counted": len(counted),
                    "is_sparse": 5 * counted["sparse_cells"].sum() > 2 * len(counted),
                }
            )
        found = pd.DataFrame(rows)
        families = found.groupby(["outcome", "days"])["p_adjusted"]
        found["p_adjusted"] = families.transform(adjusted)
        return found.assign(
            p_adjusted_daily=np.minimum(1, 10 * found["p_adjusted"]),
            is_too_few=found.pop("is_sparse") | found["p_adjusted"].isna(),
        )

    @cached_property
    def associations(self) -> pd.DataFrame:
        """A dimension differs if a member does."""
        found = self.association_tests[self.association_tests["days"] == "all"]
        found = found.drop(columns=["days", "counted"])
        keys = ["dimension", "outcome"]
        verdicts = self.tests.groupby(keys)["verdict"].agg(set).rename("verdicts")
        usual = self.tests.groupby(keys)["differs_without_unusual_days"].agg(
            lambda stands: stands.eq(True).any()
        )
        found = found.join(verdicts, on=keys).join(usual, on=keys)
        said = found.pop("verdicts")
        differs = said.map(lambda verdicts: "differs" in verdicts) & ~found["is_too_few"]
        explained = said.map(lambda verdicts: "explained_by_mix" in verdicts)
        found["verdict"] = np.select(
            [found.pop("is_too_few"), differs, explained],
            ["too_few", "differs", "explained_by_mix"],
            "no_evidence",
        )
        stands = found["differs_without_unusual_days"].astype(object)
        return found.assign(differs_without_unusual_days=stands.where(differs, None))

    @cached_property
    def tests(self) -> pd.DataFrame:
        """The test of each member against the rest, as two proportions, with Student's t."""
        keys = ["dimension", "outcome", "days"]
        rows = self.compared.merge(
            self.association_tests[[*keys, "p_adjusted", "is_too_few", "counted"]], "left", keys
        )
        rows = rows.rename(columns={"p_adjusted": "p_of_dimension"})
        of_members = rows.groupby(keys)
        t = ratio(rows["difference"], rows["error"] * np.sqrt(rows["design_effect"])).astype(float)
        rows["p_value"] = 2 * stats.norm.sf(abs(ratio(rows["difference"], rows["error"])))
        rows["p_adjusted"] = 2 * stats.t.sf(abs(t), rows["denominator_degrees"])
        rows["family"] = of_members["p_adjusted"].transform("count")
        rows["p_adjusted"] = of_members["p_adjusted"].transform(adjusted)
        rows["p_adjusted_daily"] = np.minimum(1, 10 * rows["p_adjusted"])
        rows = rows.merge(self.within_mix, "left", ["dimension", "member", "outcome"])
        t = rows.pop("excess") / np.sqrt(rows["design_effect"])
        t = t.where(rows["days"] == "all").astype(float)
        rows["adjusted_p_value"] = 2 * stats.t.sf(abs(t), rows["denominator_degrees"])
        level, least = self.level, self.least_effect
        too_few = rows["is_sparse"] | rows["is_too_few"]
        differs = (rows["p_adjusted"] < level) & (rows["p_of_dimension"] < level)
        differs &= abs(rows["difference"]) >= least
        explained = (rows["adjusted_p_value"] >= level) | (abs(rows["adjusted_difference"]) < least)
        explained |= rows["adjusted_difference"] * rows["difference"] <= 0
        explained &= rows["adjusted_p_value"].notna() & (rows["days"] == "all")
        rows["verdict"] = np.select(
            [too_few, differs & explained, differs],
            ["too_few", "explained_by_mix", "differs"],
            "no_evidence",
        )
        rows["detectable_difference"] = self.detectable(rows).where(~too_few)

        names = ["dimension", "member", "outcome"]
        usual = rows[rows["days"] == "usual"].set_index(names)["verdict"].eq("differs")
        rows = rows[rows["days"] == "all"].join(usual.rename("stands"), on=names)
        stands = rows["stands"].astype(object).where(rows["stands"].notna(), False)
        rows["differs_without_unusual_days"] = stands.where(rows["verdict"] == "differs", None)
        rows["outcome_rate"] = rows["k"] / rows["n"]
        rows = rows.rename(
            columns={"n": "events", "k": "outcome_events", "difference": "rate_difference"}
        ).astype({"events": int, "outcome_events": int})
        rows = rows.merge(self.rates.drop(columns="effective_events"), "left", names)
        shown = ["events", "outcome_events", "outcome_rate", "outcome_rate_low"]
        shown += ["outcome_rate_high", "rate_difference", "detectable_difference", "p_value"]
        shown += ["p_adjusted", "p_adjusted_daily", "adjusted_difference", "adjusted_p_value"]
        return rows[[*names, *shown, "verdict", "differs_without_unusual_days"]]

    def detectable(self, rows: pd.DataFrame) -> pd.Series:
        """Return how large a difference of each row the tests of member and dimension ask for.

        Chi-square of the dimension is the square of the member's z and that of the others, which
        chance makes; the smallest p-value of each family must be below the level.
        """
        z_power = stats.norm.ppf(self.vars["power"])
        nodes, weights = np.polynomial.hermite_e.hermegauss(7)
        weights = weights / weights.sum()
        of_dimension = stats.norm.isf(self.level / len(DIMENSIONS))
        found = []
        for row in rows.itertuples():
            freedom, denominator = row.counted - 1, row.denominator_degrees
            if freedom < 1 or not denominator > 0 or not row.error > 0:
                found.append(math.nan)
                continue
            z = stats.norm.isf(self.level / (2 * max(1, row.family)))
            chi_square = paulson(of_dimension, freedom, denominator) * freedom
            left = np.sqrt(np.maximum(0, chi_square - wilson_hilferty(nodes, freedom - 1)))
            demanded = np.maximum(wallace(z, denominator), left)
            mean = (weights * demanded).sum()
            spread = max(0, (weights * demanded**2).sum() - mean**2)
            power = z_power * math.sqrt(1 + spread + mean**2 / (2 * denominator))
            error = row.error * math.sqrt(row.design_effect)
            higher = min(row.pooled + (mean + power) * error, max(row.pooled, 0.5))
            pooled = row.pooled + (higher - row.pooled) * row.n / (row.n + row.rest)
            error *= math.sqrt(pooled * (1 - pooled) / (row.pooled * (1 - row.pooled)))
            variance = higher * (1 - higher) / row.n + row.pooled * (1 - row.pooled) / row.rest
            alternative = math.sqrt(row.design_effect * variance)
            found.append(max(mean * error, self.least_effect) + power * alternative)
        return pd.Series(found, rows.index)

    @cached_property
    def within_mix(self) -> pd.DataFrame:
        """Known members against the rest of each part of the mix.

        Standardised directly, and by Mantel-Haenszel: `excess` is in independent standard errors.
        """
        rows = []
        events = self.events[["data_shared", "event_type"]].astype("string").fillna("unknown")
        for name in DIMENSIONS:
            member, mix = (
                self.member_of(name),
                events.columns.difference(DIMENSIONS[name]["columns"]),
            )
            part = events[mix].agg(" / ".join, axis=1)[~is_unknown(member)]
            inside = pd.crosstab(member, part)
            for outcome in OUTCOMES:
                has_outcome = self.events["status"] == outcome
                hits = pd.crosstab(member[has_outcome], part).reindex_like(inside).fillna(0)
                for one in inside.index:
                    found = within_parts(inside.loc[one], inside.sum(), hits.loc[one], hits.sum())
                    if found:
                        rows.append((name, one, outcome, *found))
        columns = ["dimension", "member", "outcome", "adjusted_difference", "excess"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def rates(self) -> pd.DataFrame:
        """Intervals of members with events and of tiers, at effective events, by Student's t."""
        of_dimensions = self.compared.groupby(["dimension", "outcome"])
        effects = of_dimensions["design_effect"].first()
        freedoms = of_dimensions["denominator_degrees"].first().fillna(np.inf)
        parts = []
        counts = {**self.dimensions, "risk_tier": self.risk_tiers}
        for (name, members), outcome in product(counts.items(), OUTCOMES):
            n, rate = members["events"], members[f"{outcome}_events"] / members["events"]
            of_member = ratio(members[f"{outcome}_variance"], rate * (1 - rate))
            effect = np.fmax(np.fmax(1.0, of_member), effects.get((name, outcome), 1.0))
            level = (1 + self.vars["confidence_level"]) / 2
            z = stats.t.ppf(level, freedoms.get((name, outcome), np.inf))
            size = n / effect
            middle, spread = rate + z**2 / (2 * size), rate * (1 - rate) / size
            half_width = z * np.sqrt(spread + (z / (2 * size)) ** 2)
            bounds = {
                "effective_events": size,
                "outcome_rate_low": (middle - half_width) / (1 + z**2 / size),
                "outcome_rate_high": (middle + half_width) / (1 + z**2 / size),
            }
            rows = pd.DataFrame(bounds, members.index).rename_axis("member").reset_index()
            parts.append(rows.assign(dimension=name, outcome=outcome))
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def by_member(self) -> pd.DataFrame:
        """Members of all dimensions, known ones without events too."""
        observed = {
            "event_hour": range(24),
            "age_band": [band["age_band"] for band in registry("age_bands")],
            "event_date": self.days.index,
            "concurrent_streams": self.dimensions["concurrent_streams"].index,
        }
        parts = []
        for name, members in self.dimensions.items():
            columns = DIMENSIONS[name]["columns"]
            values = [observed[key] if key in observed else known(key) for key in columns]
            named = [" / ".join(map(str, row)) for row in product(*values)]
            named = [*dict.fromkeys([*named, *members.index[is_unknown(members.index)]])]
            measures = self.measures(members.reindex(named, fill_value=0).rename_axis("member"))
            parts.append(measures.reset_index().assign(dimension=name))
        rows = pd.concat([*parts, self.by_risk_tier], ignore_index=True)
        keys = ["dimension", "member"]
        for outcome in OUTCOMES:
            rates = self.rates[self.rates["outcome"] == outcome].drop(columns="outcome")
            tests = self.tests[self.tests["outcome"] == outcome]
            if outcome == "violation":
                shown = ["rate_difference", "detectable_difference", "p_value", "p_adjusted"]
                shown += ["p_adjusted_daily", "adjusted_difference", "adjusted_p_value", "verdict"]
                tests = tests[[*keys, *shown, "differs_without_unusual_days"]]
            else:
                rates = rates.drop(columns="effective_events")
                tests = tests[[*keys, "verdict"]].rename(columns={"verdict": "warning_verdict"})
            rates = rates.rename(
                columns=lambda name, outcome=outcome: name.replace("outcome", outcome)
            )
            rows = rows.merge(rates, "left", keys).merge(tests, "left", keys)
        is_judged = (rows["dimension"] != "risk_tier") & ~is_unknown(rows["member"])
        for verdict in ("verdict", "warning_verdict"):
            said = rows[verdict].astype(object).where(rows[verdict].notna(), "too_few")
            rows[verdict] = said.where(is_judged, None)
        return rows

    @cached_property
    def risk_tiers(self) -> pd.DataFrame:
        """Counts of the tiers that have events, and how their users vary."""
        users = self.users.assign(users=1)
        others = users["warning_events"] + users["violation_events"]
        users["compliant_events"] = users["events"] - others
        groups = users.groupby("risk_tier")
        counts = groups[["events", "users", *STATUS_EVENTS]].sum()
        for outcome in OUTCOMES:
            name = f"{outcome}_events"
            rate = counts[name] / counts["events"]
            counts[f"{outcome}_variance"] = [
                clustered_variance(tier[name] - tier["events"] * rate[key], tier["events"])
                for key, tier in groups
            ]
        if (lone := self.events[self.events["user_id"].isna()]["status"]).size:
            of_statuses = [(lone == status).sum() for status in STATUSES]
            counts.loc["unknown"] = [len(lone), 0, *of_statuses, math.nan, math.nan]
        return counts

    @cached_property
    def by_risk_tier(self) -> pd.DataFrame:
        """Part of `by_member`; tiers are made of violations, and so not tested."""
        counts = self.risk_tiers
        names = [*known("risk_tier"), *(["unknown"] if "unknown" in counts.index else [])]
        measures = self.measures(counts.reindex(names, fill_value=0).rename_axis("member"))
        return measures.reset_index().assign(dimension="risk_tier")

    def slice_of(self, mart: str) -> pd.DataFrame:
        """Return the members of one dimension, with the columns that make them."""
        columns = SLICES[mart]
        rows = self.by_member[self.by_member["dimension"] == "_and_".join(columns)]
        rows = rows.reset_index(drop=True)
        rows[columns] = rows["member"].str.split(" / ", expand=True)
        if columns[0] in ("event_hour", "concurrent_streams"):
            rows[columns] = rows[columns].replace("unknown", pd.NA).astype("Int64")
        if columns == ["event_date"]:
            rows["event_date"] = self.days.index
            rows["is_partial_day"] = self.days["is_partial"].to_numpy()
            chart = self.control_chart.drop(columns=["violation_rate", "center_line"])
            rows = rows.merge(chart, on="event_date")
        return rows.drop(columns=["dimension", "member"])

    @cached_property
    def by_status(self) -> pd.DataFrame:
        by_status = self.events.groupby("status")["user_id"].agg(events="size", users="nunique")
        rows = by_status.reindex(list(STATUSES), fill_value=0)
        return rows.assign(event_share=rows["events"] / len(self.events)).reset_index()

    # --- days ------------------------------------------------------------------------------------

    @cached_property
    def days(self) -> pd.DataFrame:
        """Every day from the first to the last: events, violations, and whether it is partial."""
        days = self.events.groupby("event_date")["is_violation"].agg(["size", "sum"])
        days.columns = ["events", "violation_events"]
        period = pd.date_range(days.index[0], days.index[-1]).date
        days = days.reindex(period, fill_value=0).rename_axis("event_date").assign(is_partial=False)
        hours = self.events.sort_values("occurred_at")["event_hour"]
        days.iloc[0, 2] |= hours.iloc[0] > 0
        days.iloc[-1, 2] |= hours.iloc[-1] < 23
        return days

    @cached_property
    def control_chart(self) -> pd.DataFrame:
        """Each day with the limits of Laney's p' chart (2002), shifted by the skewness."""
        days, (n, k) = self.days, (self.days["events"], self.days["violation_events"])
        whole = ~days["is_partial"] & (n > 0)
        center = ratio(k[whole].sum(), n[whole].sum())
        binomial = center * (1 - center)
        z = ratio(k[whole] / n[whole] - center, np.sqrt(binomial / n[whole]))
        # 2 / sqrt(pi) is the mean range of two independent normal deviates.
        sigma = np.fmax(1.0, z.diff().abs().mean() / (2 / math.sqrt(math.pi)))
        sigma = np.fmax(sigma, z.abs().median() / stats.norm.ppf(0.75))
        rate, margin = ratio(k, n), 3 * sigma * np.sqrt(ratio(binomial, n))
        shift = (3**2 - 1) / 6 * (1 - 2 * center) * ratio(sigma**2, n) * (binomial > 0)
        low = np.clip(center - margin + shift, 0, center)
        high = np.clip(center + margin + shift, center, 1)
        week = days[["events", "violation_events"]].rolling(7).sum()
        outside = ((rate < low) | (rate > high)).astype(object)
        expected = n * min(center, 1 - center)
        is_judged = whole & (expected >= self.vars["minimum_expected_violations"])
        return pd.DataFrame(
            {
                "violation_rate": rate,
                "violation_rate_7_days": ratio(week["violation_events"], week["events"]),
                "center_line": center,
                "control_limit_low": low,
                "control_limit_high": high,
                "is_out_of_control": outside.where(is_judged, None),
            },
            days.index,
        ).reset_index()

    @cached_property
    def trend(self) -> dict[str, object]:
        """Meta-regression over the days (Knapp and Hartung, 2003), some of them set aside."""
        judged = (~self.days["is_partial"] & (self.days["events"] > 0)).to_numpy()
        days, chart = self.days[judged], self.control_chart[judged]
        n, k = (days[column].to_numpy(float) for column in ("events", "violation_events"))
        x = np.flatnonzero(judged) / 7
        is_aside = np.zeros(len(n), bool)
        if len(n) > 2:
            _, _, residual, leverage = line(x, k / n, n)
            limits = chart[["control_limit_low", "control_limit_high"]]
            margin = limits.sub(chart["center_line"], axis=0).abs().max(axis=1)
            is_far = abs(residual) > (1 - leverage) * margin.to_numpy()
            is_aside = is_far & chart["is_out_of_control"].eq(True).to_numpy()
        dates = ",".join(map(str, days.index[is_aside]))
        n, k, x = n[~is_aside], k[~is_aside], x[~is_aside]
        trend = {
            "days": len(n),
            "events": int(n.sum()),
            "days_set_aside": int(is_aside.sum()),
            "dates_set_aside": dates or None,
            "verdict": "too_few",
        }
        fitted = ("change_per_week", "change_per_week_low", "change_per_week_high")
        tested = ("change_over_period", "detectable_change", "p_value", "p_adjusted")
        trend |= dict.fromkeys([*fitted, *tested, "p_adjusted_daily"], math.nan)
        if len(n) > 2:
            trend |= self.fitted_trend(x, n, k)
        return trend

    def fitted_trend(self, x: np.ndarray, n: np.ndarray, k: np.ndarray) -> dict[str, object]:
        """Return what three days or more tell; `x` is in weeks."""
        freedom, family, period = len(n) - 2, len(DIMENSIONS) + 1, x.max() - x.min()
        alpha, least = self.level, self.least_effect
        rate = k.sum() / n.sum()
        effects = self.associations.set_index(["dimension", "outcome"])["design_effect"]
        event_variance = effects["event_date", "violation"] * rate * (1 - rate)
        _, _, residual, leverage = line(x, k / n, n)
        excess = ratio((n * residual**2).sum(), event_variance) - freedom
        between = np.fmax(0, excess / (n * (1 - leverage)).sum())
        weight = n / (1 + n * between)
        change, variance, residual, _ = line(x, k / n, weight)
        error = math.sqrt(variance * max(event_variance, (weight * residual**2).sum() / freedom))
        # Days that resemble the one before are worth fewer. A line takes some of that away, and
        # chance among the events of a day has no memory.
        scaled = np.sqrt(weight) * residual
        memory = ratio((scaled[1:] * scaled[:-1]).sum(), (scaled**2).sum()) * len(n) + 2
        memory = memory / (len(n) - 4) if len(n) > 4 else 0.0
        of_days = np.mean(1 - 1 / (1 + n * between))
        if of_days > 0 and memory > 1.2816 / math.sqrt(len(n)):
            memory = min(0.95, memory / of_days)
            repeated = 1 + 2 * of_days * memory / (1 - memory)
            error *= math.sqrt(repeated)
            freedom = max(1.0, len(n) / repeated - 2)
        half_width = stats.t.ppf((1 + self.vars["confidence_level"]) / 2, freedom) * error
        found = {
            "change_per_week": change,
            "change_per_week_low": change - half_width,
            "change_per_week_high": change + half_width,
            "change_over_period": change * period,
        }
        if error < 1e-12:
            return found
        # On average, the larger of two errors is larger than either.
        larger_of_two = 1 + 1 / (2 * math.sqrt(math.pi * freedom))
        critical = stats.t.isf(alpha / (2 * family), freedom) * error * larger_of_two
        power = stats.t.ppf(self.vars["power"], freedom) * error
        p_value = 2 * stats.t.sf(abs(change / error), freedom)
        detectable = max(critical, least / period) + power
        found |= {
            "detectable_change": detectable if detectable * period <= 1 else math.nan,
            "p_value": p_value,
            "p_adjusted": min(1.0, family * p_value),
            "p_adjusted_daily": min(1.0, 10 * family * p_value),
        }
        if min(k.sum(), (n - k).sum()) >= self.vars["minimum_expected_violations"]:
            is_claimed = found["p_adjusted"] < alpha and abs(change * period) >= least
            found["verdict"] = "differs" if is_claimed else "no_evidence"
        return found

    # --- distributions ---------------------------------------------------------------------------

    @cached_property
    def correlations(self) -> pd.DataFrame:
        rows = []
        for x, y in combinations(METRICS, 2):
            metrics = self.events[[x, y]].dropna().astype(float)
            of_users = self.events.loc[metrics.index, "user_id"].value_counts()
            squares = (of_users.astype(float) ** 2).sum() + len(metrics) - of_users.sum()
            effective = ratio(len(metrics) ** 2, squares) if len(metrics) else 0
            row = {"metric_x": x, "metric_y": y, "events": len(metrics)}
            row["effective_events"] = effective
            for name, method, prefix in (
                ("pearson", stats.pearsonr, ""),
                ("spearman", stats.spearmanr, "spearman_"),
            ):
                is_fixed = min(metrics[x].nunique(), metrics[y].nunique()) < 2
                row[name] = r = math.nan if is_fixed else method(metrics[x], metrics[y])[0]
                tail = stats.beta.cdf(1 - r**2, effective / 2 - 1, 0.5)
                row[f"{prefix}p_value"] = tail if effective > 3 else math.nan
            rows.append(row)
        rows = pd.DataFrame(rows)
        # One family: both coefficients of all pairs.
        p_values = rows[["p_value", "spearman_p_value"]]
        adjusted_p_values = adjusted(p_values.to_numpy().ravel()).reshape(p_values.shape)
        rows[["p_adjusted", "spearman_p_adjusted"]] = adjusted_p_values
        return rows

    @cached_property
    def session_statistics(self) -> pd.DataFrame:
        names = ["mean", "stddev", "min", "p25", "median", "p75", "max"]
        described = self.events["session_duration_minutes"].describe()
        described.index = ["events", *(f"{name}_minutes" for name in names)]
        described["missing_share"] = 1 - described["events"] / len(self.events)
        return described.to_frame().T.astype({"events": int})

    @cached_property
    def histograms(self) -> dict[str, pd.DataFrame]:
        found = {}
        for name, values in (
            ("session_duration", self.events["session_duration_minutes"]),
            ("user_age", self.users["user_age"]),
            # In percent, rates of 1/6, 1/3 and 2/3, which lie on an edge, would fall one bin lower.
            ("user_violation_rate", self.users["violation_rate"]),
        ):
            bins = self.vars[f"{name}_bins"]
            values = values.dropna().astype(float)
            if name == "user_age" and len(values):
                years = math.ceil((values.max() + 1 - values.min()) / bins)
                bins = np.arange(values.min(), values.max() + 1 + years, years)
            frequencies, edges = np.histogram(values, bins=bins)
            rows = {"bin_start": edges[:-1], "bin_end": edges[1:], "frequency": frequencies}
            numbers = range(1, len(frequencies) + 1)
            found[f"{name}_histogram"] = pd.DataFrame({"bin_number": numbers, **rows})
        return found

    # --- summary ---------------------------------------------------------------------------------

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Headline figures; text and numbers in columns of their own."""
        members = self.by_member[self.by_member["events"] > 0].set_index("dimension")
        members = members[~is_unknown(members["member"])]

        def first(dimension: str, measure: str) -> str:
            """Return the member with the most; of equal ones that which sorts first."""
            rows = members.loc[[dimension]].assign(place=lambda rows: rows["member"].str.zfill(2))
            return rows.sort_values([measure, "place"], ascending=[False, True])["member"].iloc[0]

        def most(dimension: str, measure: str) -> float:
            return members.loc[[dimension], measure].max()

        rates = self.by_member.set_index(["dimension", "member"])["violation_rate"]
        statuses = self.by_status.set_index("status")
        quarantined = len(self.intake.rejected)
        figures = {
            "total_events": len(self.events),
            "unique_users": len(self.users),
            "first_event_date": str(self.events["event_date"].min()),
            "last_event_date": str(self.events["event_date"].max()),
            "regions_covered": ",".join(sorted(self.events["region"].dropna().unique())),
            "regulations_tracked": ",".join(sorted(self.events["regulation"].dropna().unique())),
            **{f"{status}_events": statuses.at[status, "events"] for status in STATUSES},
            **{f"{status}_rate": statuses.at[status, "event_share"] for status in STATUSES},
            **{f"violation_rate_{name.lower()}": rates["region", name] for name in known("region")},
            "average_session_duration_minutes": self.events["session_duration_minutes"].mean(),
            "average_concurrent_streams": self.events["concurrent_streams"].mean(),
            "median_user_age": self.events["user_age"].median(),
            "high_risk_users": (self.users["risk_tier"] == "high").sum(),
            "peak_traffic_hour": int(first("event_hour", "events")),
            "peak_traffic_hour_events": most("event_hour", "events"),
            "highest_violation_hour": int(first("event_hour", "violation_rate")),
            "highest_violation_hour_rate": most("event_hour", "violation_rate"),
            "highest_violation_region": first("region", "violation_rate"),
            "best_compliance_region": first("region", "compliant_rate"),
            "highest_violation_regulation": first("regulation", "violation_rate"),
            "highest_violation_regulation_rate": most("regulation", "violation_rate"),
            "highest_violation_data_sharing": first("data_shared", "violation_rate"),
            "full_minus_none_sharing_rate": rates["data_shared", "full"]
            - rates["data_shared", "none"],
            "most_common_event_type": first("event_type", "events"),
            "most_common_event_type_events": most("event_type", "events"),
            "raw_rows": self.raw_rows,
            "accepted_rows": len(self.events),
            "quarantined_rows": quarantined,
            "exact_copies_dropped": self.intake.copies,
            "superseded_rows": 0,
            "quarantined_share": quarantined / self.raw_rows,
            "ambiguous_local_times": 0,
            **{f"missing_{column}_share": self.events[column].isna().mean() for column in OPTIONAL},
        }
        named = {
            "event_hour": ["highest_violation_hour"],
            "region": ["highest_violation_region", "best_compliance_region"],
            "regulation": ["highest_violation_regulation"],
            "data_shared": ["highest_violation_data_sharing"],
        }
        judged = {name: (key, str(figures[name])) for key in named for name in named[key]}
        for name in ("highest_violation_hour", "highest_violation_regulation"):
            judged[f"{name}_rate"] = judged[name]
        judged["full_minus_none_sharing_rate"] = ("data_shared", "full")
        judged |= {f"violation_rate_{name.lower()}": ("region", name) for name in known("region")}
        verdicts = self.by_member.set_index(["dimension", "member"])["verdict"]
        values = pd.Series(figures, dtype=object)
        is_text = values.map(lambda value: isinstance(value, str))
        summary = {
            "value_number": values.mask(is_text).astype(float),
            "value_text": values.where(is_text, None),
            "verdict": pd.Series({name: verdicts[key] for name, key in judged.items()}),
        }
        return pd.DataFrame(summary).rename_axis("metric").reset_index()


def pearson(members: pd.DataFrame) -> float:
    """Return chi-square of members by outcome, yes or no."""
    n, k = members["n"], members["k"]
    rate = k.sum() / n.sum()
    return ratio((n * (k / n - rate) ** 2).sum(), rate * (1 - rate))


def within_parts(n, all_n, k, all_k) -> tuple[float, float] | None:
    """Return difference and excess of a member's events and hits in parts of all events.

    Parts with fewer than ten events of the member or the rest count as one; None without any.
    """
    parts = pd.DataFrame({"n": n, "rest": all_n - n, "k": k, "rest_k": all_k - k}).astype(float)
    is_small = parts[["n", "rest"]].min(axis=1) < 10
    parts = pd.concat([parts[~is_small], parts[is_small].sum().to_frame().T])
    parts = parts[parts[["n", "rest"]].min(axis=1) > 0]
    if parts.empty:
        return None
    n, rest, k, rest_k = (parts[column].to_numpy() for column in parts)
    difference = ((n + rest) * (k / n - rest_k / rest)).sum() / (n + rest).sum()
    if not ((k + rest_k > 0) & (k + rest_k < n + rest)).any():
        return difference, math.nan
    tables = StratifiedTable(np.array([[k, n - k], [rest_k, rest - rest_k]]))
    return difference, math.sqrt(tables.test_null_odds().statistic)


def line(x: np.ndarray, y: np.ndarray, weight: np.ndarray):
    """Return slope, its variance where weights are inverse variances, residuals and leverages."""
    design, root = add_constant(x), np.sqrt(weight)
    fit = OLS(root * y, root[:, None] * design).fit()
    leverage = fit.get_influence().hat_matrix_diag
    return fit.params[1], fit.normalized_cov_params[1, 1], y - design @ fit.params, leverage
