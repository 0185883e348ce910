"""The model that every built-in engine trains."""
