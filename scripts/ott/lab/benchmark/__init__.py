"""The benchmark: its inputs, the engines, and the figures by other means."""
