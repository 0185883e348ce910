"""The folder of a run: written atomically, read back and checked. Its contract is docs/results.md."""
