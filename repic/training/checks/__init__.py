"""Checks of a version of the examples before anything trains on it."""
