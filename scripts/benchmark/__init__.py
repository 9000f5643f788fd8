"""What `scripts/benchmark.py` runs: its inputs, the engines, and the figures by other means."""
