"""Our rewards in other trainers: one short file for each, and nothing but the standard library.

TRL, ms-swift, verl and OpenRLHF pin different versions of torch and transformers, so the rewards
run in workers of their own (`repic reward serve`) and these files ask them. In the environment of
such a trainer, install repic with `--no-deps`; docs/reward-workers.md says how for each.
"""
