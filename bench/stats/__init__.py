"""Summaries over repeats, comparisons with intervals, and how numbers are written."""
