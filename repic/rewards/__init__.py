"""Rewards: scores of completions, model-based components, workers, and the attack suite."""
