"""The model that every engine of ours trains."""
