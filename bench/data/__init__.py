"""Data: how a dataset is read, split over the parties, balanced and written for them."""
