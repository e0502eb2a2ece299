"""Thought: pure functions, tables in, columns out. No stores, no sources, no clock."""
