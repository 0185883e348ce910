"""The languages that pages are written in, and their catalogues."""
