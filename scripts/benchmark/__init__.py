"""What `scripts/benchmark.py` runs and measures: inputs, engines, and the figures by other means."""
