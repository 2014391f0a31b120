"""ms-swift: `swift rlhf --external_plugins .../ms_swift_reward.py --reward_funcs repic`.

ms-swift puts the folder of a plugin first in `sys.path`, so no file here may have the name of a
package that trainers import. The dataset needs a column `label`, as `repic export` writes it.
ms-swift counts None as 0, so an answer that could not be scored gets the mean of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift.rewards import ORM, orms

from repic.rewards.adapters.query import fill_unscored, request_rewards


class RepicReward(ORM):
    """Rewards of the answers to the rows of `label`."""

    def __call__(self, completions: Sequence[str], **columns: Any) -> list[float]:
        labels = columns["label"]
        return fill_unscored(request_rewards(completions, labels), labels)


orms["repic"] = RepicReward
