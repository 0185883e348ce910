"""The metrics, found by bench/model/scoring.py: every module here that has an instance of Metric."""
