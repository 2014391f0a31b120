"""Scores of completions, and the proof that they cannot be gamed."""
