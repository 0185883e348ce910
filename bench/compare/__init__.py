"""Comparison of runs with a base: what differs beyond the range of their repeats. ``python -m bench.compare``."""
