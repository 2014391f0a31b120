"""Why an answer gets its score, for a person."""

from __future__ import annotations

from typing import Any

from repic.captions.facts import facts_of
from repic.objectives.base import Reward, Row

RULES = {
    "correct": "the answer is the right one, and nothing else",
    "format": "the answer is one of those that may be given",
    "iou": "overlap of the one box with the true one",
    "names": "set-F1 of the names used against those present; doubtful and absent ones cost",
    "content": "distinct words that are neither names nor copied, against the floor",
    "variety": "share of what is said once",
    "facts": "words that tell this photo from others, less three times those that describe others",
    "binding": "share of right ones among the claims about who is what",
    "judge": "preferred to the true caption in both orders",
}


def explained(row: Row, result: Reward, released: Reward) -> dict[str, Any]:
    """All that went into a score, as JSON."""
    facts = facts_of(row) if row["objective"] == "ict" else None
    return {
        "example_id": row["example_id"],
        "objective": row["objective"],
        "kind": row["kind"],
        "prompt": "\n".join(block["text"] for block in row["prompt"] if block["text"]),
        "answer": row["answer"] if row["box"] is None else f"{row['answer']} {row['box']}",
        "caption": row["caption"],
        "telling": sorted(facts.true) if facts else [],
        "read": result.parsed,
        "reason": result.reason,
        "components": [
            {"name": name, "value": value, "rule": RULES[name]}
            for name, value in result.components.items()
        ],
        "total": result.total,
        "released": {"total": released.total, "reason": released.reason},
    }
