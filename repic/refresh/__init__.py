"""The nightly loop: train on a new build, evaluate, and promote only a better checkpoint."""
