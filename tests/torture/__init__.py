"""Faults put into a small store, one at a time: `python -m tests.torture` prints what was lost."""
