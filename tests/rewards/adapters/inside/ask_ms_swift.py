"""Runs inside the environment of ms-swift: loads and calls a plugin as `swift rlhf` does."""

import json
import sys

from swift.utils import import_external_file

given = json.load(sys.stdin)
import_external_file(given["plugin"])  # puts the plugin's folder first in sys.path

import trl  # noqa: E402
from swift.rewards import orms  # noqa: E402
from swift.rl_core.data import GRPOSample  # noqa: E402
from swift.rl_core.grpo_algorithm import compute_rewards_per_func  # noqa: E402

assert "site-packages" in trl.__file__, trl.__file__
reward = orms["repic"](args=None)
samples = [
    GRPOSample.from_row(
        {**line, "messages": [*line["messages"], {"role": "assistant", "content": answer}]}
    )
    for line, answer in zip(given["lines"], given["answers"], strict=True)
]
rewards = compute_rewards_per_func(samples, [reward], [None], "cpu")
print(json.dumps(rewards[:, 0].tolist()))
