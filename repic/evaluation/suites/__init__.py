"""Suites: named concepts with references, and photos to caption or to ask about."""
