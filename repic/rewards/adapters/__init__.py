"""Adapters to other trainers: one short file for each, with the standard library only.

TRL, ms-swift, verl and OpenRLHF pin different versions of torch and transformers, so the rewards
run in workers (`repic reward serve`) and these files query them. In the environment of a trainer,
install repic with `--no-deps`; docs/reward-workers.md has the steps for each.
"""
