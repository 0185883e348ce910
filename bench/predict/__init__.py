"""Predictions of an epoch's cost for other shapes, from what a run has measured. ``python -m bench.predict``."""
