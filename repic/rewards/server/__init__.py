"""Rewards over HTTP: one definition for trainers in any environment."""
