"""Rewards over HTTP: one definition for every trainer, whatever versions it pins."""
