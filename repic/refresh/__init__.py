"""A night's loop: train on a new build, evaluate, and promote only what is better."""
