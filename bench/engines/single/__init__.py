"""Training by one data holder: all rows in one place, or each party alone."""
