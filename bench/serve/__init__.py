"""A model of a run behind FATE-Serving's HTTP interface. ``python -m bench.serve``."""
