"""Training on a dataset version: TRL's trainers, with what makes a run safe around them.

`repic.train.run.train` is the story from top to bottom; each other module is one thing it uses.
"""

import os

# TRL reports what is trained to the hub, and the setting is read when its library is imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
