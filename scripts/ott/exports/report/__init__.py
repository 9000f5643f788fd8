"""The report: from the marts to one HTML page."""
