"""The published tables in the order and the number of rows in which the report shows them."""

from functools import cache

from ott.catalog import OPTIONAL_TABLES, SCHEMA, Release, Row

# More points hide each other and make the file large; the page says when rows are left out.
MAXIMUM_ROWS = {"dim_users": 1000, "compliance_by_date": 400}

# Of tables without display_order that their first column does not order as needed.
ORDERS = {
    "compliance_by_date": "event_date desc",
    "compliance_by_region_and_regulation": """
        (select display_order from marts.compliance_by_region as named
        where named.region = compliance_by_region_and_regulation.region),
        (select display_order from marts.compliance_by_regulation as named
        where named.regulation = compliance_by_region_and_regulation.regulation)""",
    "dim_users": "risk_evidence = 'confirmed' desc, md5(cast(user_id as varchar)), user_id",
    "violation_associations": "p_adjusted nulls last, dimension",
}


class Tables:
    """The tables of a release, each read once; those of single users only `with_users`."""

    def __init__(self, release: Release, with_users: bool) -> None:
        """Read what many charts need: `summary` by metric, `labels` of headings by dimension."""
        self.release = release
        self.hidden = frozenset() if with_users else OPTIONAL_TABLES
        self.rows = cache(self._rows)
        self.summary = {row["metric"]: row for row in self.rows("compliance_summary")}
        dimensions = self.rows("dimensions")
        self.labels = {row["dimension"]: row["label"] for row in dimensions}
        self.further = [row["dimension"] for row in dimensions if row["is_further"]]
        self.absent = {row["dimension"]: row["singular"] for row in dimensions if row["is_absent"]}
        self.statuses = [row["status"] for row in self.rows("compliance_by_status")]
        # A fraction; None without events.
        self.violation_rate = self.summary["violation_rate"]["value_number"]

    def _rows(self, table: str) -> list[Row]:
        """Return a table, in display order where it has one; one hidden or missing is empty.

        Of too many days the last ones are kept, of users those confirmed, then others picked by a
        hash of their id, which favours nobody and is the same in every report.
        """
        if table in self.hidden or table not in self.release.tables:
            return []
        columns = {column.name for column in self.release.tables[table].columns}
        order = "display_order" if "display_order" in columns else ORDERS.get(table, "1")
        limit = f"limit {MAXIMUM_ROWS[table]}" if table in MAXIMUM_ROWS else ""
        rows = [
            # NaN is the only value unequal to itself.
            {name: None if value != value else value for name, value in row.items()}
            for row in self.release.query(f'from {SCHEMA}."{table}" order by {order} {limit}')
        ]
        return rows[::-1] if table == "compliance_by_date" else rows
