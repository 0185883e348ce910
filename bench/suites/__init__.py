"""The suites that come with the kit, and what a suite file may say."""
