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
from scipy import stats
from statsmodels.api import OLS, add_constant
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from oracle import sentences
from oracle.intake import judge
from ott.registry import METRICS, OPTIONAL, known, registry, variables

STATUSES = ("compliant", "warning", "violation")
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
    """Return the quantile of chi-square whose cube root is normal (1931)."""
    part = 2 / (9 * freedom)
    return freedom * (1 - part + z * np.sqrt(part)) ** 3


def patnaik(critical, freedom, z_power):
    """Return where mean - z_power sd of noncentral chi-square is the critical value (1949)."""
    excess = critical - freedom
    half = excess + 2 * z_power**2
    return half + np.sqrt(half**2 - excess**2 + 2 * z_power**2 * freedom)


def clustered_variance(users: pd.DataFrame) -> float:
    """Return the variance of an event with users as clusters; nan for a single user."""
    total = users["events"].sum()
    correction = 1 - (users["events"] ** 2).sum() / total**2
    return (users["residual"] ** 2).sum() / total / correction if len(users) > 1 else math.nan


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
            "violation_associations": self.associations.reset_index(),
            "violation_tests": self.tests,
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

    @cached_property
    def dimensions(self) -> dict[str, pd.DataFrame]:
        """Events by status, users and variance of each member with events; and of all of them.

        The last is the variance over users of the residuals from the rates of the members. An event
        without a user stands for itself, and one of an unknown member takes no part.
        """
        found = {}
        events = self.events.astype("string")
        user = events["user_id"].fillna("event " + events["event_id"]).rename("user")
        for name, dimension in DIMENSIONS.items():
            texts = [events[column].fillna("unknown") for column in dimension["columns"]]
            member = texts[0].str.cat(texts[1:], sep=" / ").rename("member")
            by_user = pd.crosstab([member, user], events["status"] + "_events")
            by_user = by_user.reindex(columns=STATUS_EVENTS, fill_value=0)
            by_user["events"] = by_user.sum(axis=1)
            members = by_user.groupby("member").sum()
            rate = (members["violation_events"] / members["events"]).rename("rate")
            by_user = by_user.join(rate, on="member")
            by_user["residual"] = by_user["violation_events"] - by_user["events"] * by_user["rate"]
            groups = by_user.groupby("member")
            is_user = ~by_user.index.get_level_values("user").str.startswith("event ")
            members["users"] = by_user[is_user].groupby("member").size()
            members["users"] = members["users"].fillna(0).astype(int)
            members["variance"] = [clustered_variance(users) for _, users in groups]
            is_known = ~is_unknown(by_user.index.get_level_values("member"))
            whole_users = by_user[is_known].groupby("user").sum()
            members.attrs["variance"] = clustered_variance(whole_users)
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
        users["p_value"] = stats.binom.sf(k - 1, n, overall)
        users["p_adjusted"] = stats.false_discovery_control(users["p_value"])
        users["shrunk_violation_rate"] = shrunk(n, k)
        alpha = self.vars["alpha"]
        users["risk_evidence"] = np.select(
            [overall**n >= alpha, users["p_adjusted"] < alpha, users["p_value"] < alpha],
            ["too_few_events", "confirmed", "watch"],
            "typical",
        )
        return users

    @cached_property
    def top_risk_users(self) -> pd.DataFrame:
        order = ["p_adjusted", "p_value", "shrunk_violation_rate", "events", "user_id"]
        ranked = self.users.sort_values(order, ascending=[True, True, False, False, True])
        top = ranked.head(self.vars["top_risk_users"])
        return top.assign(risk_rank=range(1, len(top) + 1))

    # --- members ---------------------------------------------------------------------------------

    @cached_property
    def associations(self) -> pd.DataFrame:
        """Chi-square tests, corrected for users as clusters as by Rao and Scott (1981)."""
        rows = {}
        for name, all_members in self.dimensions.items():
            members = all_members[~is_unknown(all_members.index)]
            if members.empty:
                continue
            n, k, freedom = members["events"], members["violation_events"], len(members) - 1
            rate = k.sum() / n.sum()
            binomial = rate * (1 - rate)
            chi_square = ratio((n * (k / n - rate) ** 2).sum(), binomial)
            variance = members["variance"].mean() * len(members)
            variance -= all_members.attrs["variance"]
            effect = np.fmax(1.0, ratio(variance, freedom * binomial))
            sparse = (n * min(rate, 1 - rate) < self.vars["minimum_expected_violations"]).sum()
            rows[name] = {
                "members": len(members),
                "chi_square": chi_square,
                "degrees_of_freedom": freedom,
                "p_value": stats.chi2.sf(chi_square, freedom),
                "p_adjusted": stats.chi2.sf(chi_square / effect, freedom),
                "cramers_v": np.sqrt(chi_square / n.sum()),
                "design_effect": effect,
                "is_sparse": 5 * sparse > len(members),
            }
        found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("dimension")
        found["p_adjusted"] = adjusted(found["p_adjusted"])
        too_few = found.pop("is_sparse") | found["p_adjusted"].isna()
        differs = found["p_adjusted"] < self.vars["alpha"]
        found["verdict"] = np.select([too_few, differs], ["too_few", "differs"], "no_evidence")
        return found

    @cached_property
    def tests(self) -> pd.DataFrame:
        return pd.concat([self.tests_of(name) for name in self.associations.index])

    def tests_of(self, dimension: str) -> pd.DataFrame:
        """Return the test of each member against the rest, as two proportions."""
        alpha, least = self.vars["alpha"], self.vars["minimum_effect_percentage_points"] / 100
        association, members = self.associations.loc[dimension], self.dimensions[dimension]
        members = members[~is_unknown(members.index)]
        n, k = members["events"], members["violation_events"]
        rest, total = n.sum() - n, n.sum()
        pooled = k.sum() / total
        binomial = pooled * (1 - pooled)
        error = np.sqrt(binomial * (1 / n + ratio(1, rest)))
        difference = k / n - ratio(k.sum() - k, rest)
        clustered_error = error * math.sqrt(association["design_effect"])
        p_adjusted = adjusted(2 * stats.norm.sf(abs(ratio(difference, clustered_error))))
        low, high = self.wilson(k, n)

        # As large as the test of the member and that of the dimension ask for.
        z_power = stats.norm.ppf(self.vars["power"])
        critical = stats.norm.isf(alpha / (2 * max(1, (~np.isnan(p_adjusted)).sum())))
        # With a single member there is nothing to detect.
        freedom = max(1, association["degrees_of_freedom"])
        z = stats.norm.isf(alpha / len(DIMENSIONS))
        chi_square = patnaik(wilson_hilferty(z, freedom), freedom, z_power)
        demanded = max(critical, math.sqrt(chi_square) - z_power)
        higher = np.minimum(pooled + (demanded + z_power) * clustered_error, max(pooled, 0.5))
        alternative = np.sqrt(
            association["design_effect"] * (higher * (1 - higher) / n + ratio(binomial, rest))
        )
        detectable = np.maximum(demanded * clustered_error, least) + z_power * alternative

        rarer = np.minimum(n, rest) * min(pooled, 1 - pooled)
        too_few = rarer < self.vars["minimum_expected_violations"]
        differs = (p_adjusted < alpha) & (abs(difference) >= least)
        differs &= association["verdict"] == "differs"
        return pd.DataFrame(
            {
                "dimension": dimension,
                "events": n,
                "violation_events": k,
                "violation_rate": k / n,
                "violation_rate_low": low,
                "violation_rate_high": high,
                "rate_difference": difference,
                "detectable_difference": detectable.where(clustered_error > 0),
                "p_value": 2 * stats.norm.sf(abs(ratio(difference, error))),
                "p_adjusted": p_adjusted,
                "verdict": np.select([too_few, differs], ["too_few", "differs"], "no_evidence"),
            }
        ).reset_index()

    def wilson(self, successes, trials):
        """Return both bounds of score intervals, nan without trials."""
        alpha = 1 - self.vars["confidence_level"]
        return proportion_confint(successes, trials.where(trials > 0), alpha, method="wilson")

    @cached_property
    def by_member(self) -> pd.DataFrame:
        """Members of all dimensions, known ones without events too."""
        observed = {
            "event_hour": range(24),
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
        tests = self.tests.drop(columns=["events", "violation_events", "violation_rate"])
        rows = pd.concat(parts).merge(tests, "left", ["dimension", "member"])
        partial_days = map(str, self.days.index[self.days["is_partial"]])
        is_judged = rows["verdict"].notna() & ~rows["member"].isin([*partial_days])
        rows["verdict"] = rows["verdict"].where(is_judged, "too_few")
        unknown = is_unknown(rows["member"])
        rows["verdict"] = rows["verdict"].mask(unknown, None)
        low, high = self.wilson(rows["violation_events"], rows["events"])
        rows["violation_rate_low"] = rows["violation_rate_low"].mask(unknown, low)
        rows["violation_rate_high"] = rows["violation_rate_high"].mask(unknown, high)
        return pd.concat([rows, self.by_risk_tier], ignore_index=True)

    @cached_property
    def by_risk_tier(self) -> pd.DataFrame:
        """Part of `by_member`; tiers are made of violations, and so not tested."""
        users = self.users.assign(users=1)
        others = users["warning_events"] + users["violation_events"]
        users["compliant_events"] = users["events"] - others
        counts = users.groupby("risk_tier")[["events", "users", *STATUS_EVENTS]].sum()
        counts = counts.reindex(known("risk_tier"), fill_value=0).rename_axis("member")
        if (lone := self.events[self.events["user_id"].isna()]["status"]).size:
            of_statuses = [(lone == status).sum() for status in STATUSES]
            counts.loc["unknown"] = [len(lone), 0, *of_statuses]
        low, high = self.wilson(counts["violation_events"], counts["events"])
        rows = self.measures(counts).assign(violation_rate_low=low, violation_rate_high=high)
        return rows.reset_index().assign(dimension="risk_tier")

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
        """Each day with the limits of Laney's p' chart (2002)."""
        days, (n, k) = self.days, (self.days["events"], self.days["violation_events"])
        whole = ~days["is_partial"] & (n > 0)
        center = ratio(k[whole].sum(), n[whole].sum())
        binomial = center * (1 - center)
        z = ratio(k[whole] / n[whole] - center, np.sqrt(binomial / n[whole]))
        # 2 / sqrt(pi) is the mean range of two independent normal deviates.
        sigma = np.fmax(1.0, z.diff().abs().mean() / (2 / math.sqrt(math.pi)))
        rate, margin = ratio(k, n), 3 * sigma * np.sqrt(ratio(binomial, n))
        week = days[["events", "violation_events"]].rolling(7).sum()
        outside = (abs(rate - center) > margin).astype(object)
        return pd.DataFrame(
            {
                "violation_rate": rate,
                "violation_rate_7_days": ratio(week["violation_events"], week["events"]),
                "center_line": center,
                "control_limit_low": np.maximum(0, center - margin),
                "control_limit_high": np.minimum(1, center + margin),
                "is_out_of_control": outside.where(whole, None),
            },
            days.index,
        ).reset_index()

    @cached_property
    def trend(self) -> dict[str, object]:
        """Meta-regression over the days (Knapp and Hartung, 2003), some of them set aside."""
        judged = self.control_chart["is_out_of_control"].notna().to_numpy()
        days, chart = self.days[judged], self.control_chart[judged]
        n, k = (days[column].to_numpy(float) for column in ("events", "violation_events"))
        x = np.flatnonzero(judged) / 7
        is_aside = np.zeros(len(n), bool)
        if len(n) > 2:
            _, _, residual, leverage = line(x, k / n, n)
            limits = chart[["control_limit_low", "control_limit_high"]]
            margin = limits.sub(chart["center_line"], axis=0).abs().max(axis=1)
            is_far = abs(residual) > (1 - leverage) * margin.to_numpy()
            is_aside = is_far & chart["is_out_of_control"].to_numpy(bool)
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
        trend |= dict.fromkeys([*fitted, *tested], math.nan)
        if len(n) > 2:
            trend |= self.fitted_trend(x, n, k)
        return trend

    def fitted_trend(self, x: np.ndarray, n: np.ndarray, k: np.ndarray) -> dict[str, object]:
        """Return what three days or more tell; `x` is in weeks."""
        freedom, family, period = len(n) - 2, len(DIMENSIONS) + 1, x.max() - x.min()
        alpha, least = self.vars["alpha"], self.vars["minimum_effect_percentage_points"] / 100
        rate = k.sum() / n.sum()
        event_variance = self.associations.loc["event_date", "design_effect"] * rate * (1 - rate)
        _, _, residual, leverage = line(x, k / n, n)
        excess = ratio((n * residual**2).sum(), event_variance) - freedom
        between = np.fmax(0, excess / (n * (1 - leverage)).sum())
        weight = n / (1 + n * between)
        change, variance, residual, _ = line(x, k / n, weight)
        error = math.sqrt(variance * max(event_variance, (weight * residual**2).sum() / freedom))
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
        found |= {
            "detectable_change": max(critical, least / period) + power,
            "p_value": p_value,
            "p_adjusted": min(1.0, family * p_value),
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
            n = len(metrics)
            row = {"metric_x": x, "metric_y": y, "events": n}
            for name, method, p_value in (
                ("pearson", stats.pearsonr, "p_value"),
                ("spearman", stats.spearmanr, "spearman_p_value"),
            ):
                is_fixed = min(metrics[x].nunique(), metrics[y].nunique()) < 2
                found = (math.nan, math.nan) if is_fixed else method(metrics[x], metrics[y])
                row[name], row[p_value] = found[0], found[1] if n > 3 else math.nan
            rows.append(row)
        return pd.DataFrame(rows)

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
            frequencies, edges = np.histogram(values.dropna().astype(float), bins=bins)
            rows = {"bin_start": edges[:-1], "bin_end": edges[1:], "frequency": frequencies}
            found[f"{name}_histogram"] = pd.DataFrame({"bin_number": range(1, bins + 1), **rows})
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
        values = pd.Series(figures, dtype=object)
        is_text = values.map(lambda value: isinstance(value, str))
        summary = {
            "value_number": values.mask(is_text).astype(float),
            "value_text": values.where(is_text, None),
        }
        return pd.DataFrame(summary).rename_axis("metric").reset_index()


def line(x: np.ndarray, y: np.ndarray, weight: np.ndarray):
    """Return slope, its variance where weights are inverse variances, residuals and leverages."""
    design, root = add_constant(x), np.sqrt(weight)
    fit = OLS(root * y, root[:, None] * design).fit()
    leverage = fit.get_influence().hat_matrix_diag
    return fit.params[1], fit.normalized_cov_params[1, 1], y - design @ fit.params, leverage
