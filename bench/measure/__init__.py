"""Spans, resource samples and facts about the machine."""
