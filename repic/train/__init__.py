"""Training on a dataset version: TRL's trainers, with what makes a run safe around them.

`repic.train.run.train` is the story from top to bottom; each other module is one thing it uses.
"""
