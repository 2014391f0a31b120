"""Training on a dataset version with TRL's trainers.

`run.train` is the whole run from top to bottom: `plan` says what decides it, `grpo` or `sft` makes
its trainer, `session` fits it, and `publish` writes the checkpoint.
"""

import os

# TRL reports usage to the hub, and its library reads this setting on import.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
