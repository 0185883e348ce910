"""Measure what federated logistic regression costs against centralised training."""

__version__ = "0.1.0"
