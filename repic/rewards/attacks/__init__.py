"""Attacks on the rewards, paraphrases that must stay rewarded, and known gaps."""
