"""Synthetic events."""
