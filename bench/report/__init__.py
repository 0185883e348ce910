"""The report of a run: one self-contained HTML page. ``python -m bench.report``."""
