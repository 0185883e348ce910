"""From a suite to a run folder with its report. ``python -m bench.run``."""
