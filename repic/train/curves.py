"""Curves of a run as a picture, and a page with them, the table and some answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from repic.rewards.held_out import Measured, RewardChange

PICTURE, PAGE = "curves.png", "training.html"
SHOWN = 8
"""Answers before and after on the page."""
SMOOTH = 0.1
"""Share of a run over which a noisy curve is averaged."""

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reward", ("reward", "rewards/oct", "rewards/vlt", "rewards/ict")),
    ("KL to the start, nats per token", ("kl",)),
    ("entropy, nats per token", ("entropy",)),
    ("length of an answer, tokens", ("completions/mean_length",)),
    ("groups without difference", ("frac_reward_zero_std",)),
    ("loss", ("loss",)),
)


def write(
    folder: Path,
    history: Sequence[dict[str, Any]],
    changes: Sequence[RewardChange],
    before: Measured | None,
    after: Measured | None,
    title: str,
) -> None:
    """Write `curves.png` and `training.html` into a folder; the page needs no other file."""
    import jinja2

    draw(folder / PICTURE, history)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("repic.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("repic.report") / "templates" / "style.css"
    page = environment.get_template("training.html").render(
        title=title,
        style=style.read_text(encoding="utf-8"),
        curves=base64.b64encode((folder / PICTURE).read_bytes()).decode(),
        changes=changes,
        pairs=shown(before, after),
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def shown(before: Measured | None, after: Measured | None) -> list[tuple[Any, Any]]:
    """Greedy answers before and after to some rows, objectives in turn; the same in every run."""
    if before is None or after is None:
        return []
    waiting: dict[str, list[tuple[Any, Any]]] = {}
    for pair in zip(before.greedy, after.greedy, strict=True):
        waiting.setdefault(pair[0].objective, []).append(pair)
    turns = max(map(len, waiting.values()))
    dealt = [pairs[turn : turn + 1] for turn in range(turns) for pairs in waiting.values()]
    return [pair for one in dealt for pair in one][:SHOWN]


def draw(path: Path, history: Sequence[dict[str, Any]]) -> None:
    """Curves over steps as a PNG, noisy ones averaged over `SMOOTH` of the run beside the points.

    The same numbers give the same bytes: the file carries no date.
    """
    from matplotlib.figure import Figure

    panels = [(name, keys) for name, keys in PANELS if any(k in h for h in history for k in keys)]
    figure = Figure(figsize=(9, 2.4 * max(1, -(-len(panels) // 2))), layout="constrained")
    for place, (name, keys) in enumerate(panels, start=1):
        axes = figure.add_subplot(-(-len(panels) // 2), 2, place)
        for key in keys:
            points = [(h["step"], h[key]) for h in history if isinstance(h.get(key), int | float)]
            if not points:
                continue
            steps, values = zip(*points, strict=True)
            [line] = axes.plot(steps, _averaged(values), label=key.removeprefix("rewards/"))
            axes.plot(steps, values, ".", markersize=2, alpha=0.3, color=line.get_color())
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        if len(keys) > 1:
            axes.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _averaged(values: Sequence[float]) -> list[float]:
    """Mean of each value and those before it, over a window."""
    window = max(1, round(len(values) * SMOOTH))
    return [
        sum(values[max(0, i - window + 1) : i + 1]) / min(window, i + 1) for i in range(len(values))
    ]
