"""The parts of `scripts/report.py`: from the marts to one HTML page."""
