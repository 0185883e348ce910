"""The embedded federated engine: its processes, its messages, and its privacy modes."""
