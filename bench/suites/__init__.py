"""The suites that come with the kit."""
